"""Loads the configuration for a command; `config show`."""

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any, TextIO

from pydantic import SecretStr

from openhands_sessions.cli import logs
from openhands_sessions.cli.output import columns, print_json, program
from openhands_sessions.config.environment import provider_keys, to_mask
from openhands_sessions.config.loading import DEFAULT, KEY, Loaded, load, settings
from openhands_sessions.config.session_key import FILE as KEY_FILE
from openhands_sessions.config.session_key import read_key
from openhands_sessions.config.template import template
from openhands_sessions.core.errors import SessionsError
from openhands_sessions.core.masking import MASK

_PASSWORD = re.compile(r"(?<=//)[^/@\s]+(?=@)")


def loaded(flags: Mapping[str, object], file: Path | None, *, quiet: bool = False) -> Loaded:
    """The configuration, with the log set up by it; `quiet` commands log warnings only, unless told otherwise. Raises
    ConfigError."""
    found = replace(load(flags, os.environ, file), provider_keys=provider_keys(os.environ))
    log_to(found, quiet=quiet)
    return found


def log_to(found: Loaded, out: TextIO | None = None, *, quiet: bool = True) -> None:
    """Set the log up; `out` is standard error unless it is given."""
    log = found.config.log
    level = "warning" if quiet and found.origins["log.level"] == DEFAULT else log.level
    logs.configure(level, log.format, secrets(found), out)


def secrets(found: Loaded) -> list[str]:
    """Every secret of the configuration, and the keys of providers."""
    given = [attrgetter(setting.key)(found.config) for setting in settings().values() if setting.secret]
    given += to_mask(found.provider_keys)
    return [secret.get_secret_value() for secret in given if isinstance(secret, SecretStr)]


def show(flags: Mapping[str, object], file: Path | None, *, as_json: bool) -> int:
    """Print every setting with its value and where that stands; secrets are masked."""
    found = loaded(flags, file, quiet=True)
    rows = [(key, shown(found, key), found.origins[key]) for key in settings()]
    data_dir = found.config.data_dir
    if found.config.server.session_api_key is None and read_key(data_dir) is not None:
        made = (KEY, MASK, f"made by the server, in {data_dir / KEY_FILE}")
        rows = [made if row[0] == KEY else row for row in rows]
    if as_json:
        listed = {key: {"value": value, "origin": origin} for key, value, origin in rows}
        print_json(listed)
    else:
        print(columns(("setting", "value", "origin"), [(key, _text(value), origin) for key, value, origin in rows]))
    return 0


def init(file: Path) -> int:
    """Write the template to a new file, which only its owner reads: keys may come to stand in it. Raises
    SessionsError."""
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
            opened.write(template())
    except FileExistsError:
        raise SessionsError(f"{file} exists already, and is left as it is; name another file") from None
    except OSError as error:
        raise SessionsError(f"{file} cannot be written: {error.strerror}") from error
    print(f"wrote {file}; change what you need, then: {program()} serve --config {shlex.quote(str(file))}")
    return 0


def shown(found: Loaded, key: str) -> Any:
    """A value for JSON, with secrets and passwords in addresses masked."""
    match attrgetter(key)(found.config):
        case SecretStr() as secret:
            return MASK if secret.get_secret_value() else ""
        case Path() as path:
            return str(path)
        case str() as text:
            return _PASSWORD.sub(MASK, text)
        case value:
            return value


def _text(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return str(value).lower()
        case tuple():
            return ", ".join(value) or "-"
        case _:
            return str(value)
