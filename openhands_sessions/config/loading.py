"""Reads the configuration and knows where each value stands."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource, TomlConfigSettingsSource

from openhands_sessions.config.config import Config
from openhands_sessions.config.errors import ConfigError
from openhands_sessions.config.listing import Setting, settings

FILE_VARIABLE = "OHS_CONFIG"
NOT_SETTINGS = frozenset({FILE_VARIABLE, "OHS_ACTION_ID"})
"""Variables of ours that set nothing: the file's name, and what every command in a sandbox is given."""
FLAGS = {
    "--host": "server.host",
    "--port": "server.port",
    "--data-dir": "data_dir",
    "--session-api-key": "server.session_api_key",
    "--model": "llm.model",
    "--base-url": "llm.base_url",
    "--agent": "agent.kind",
    "--confirm": "agent.confirmation_mode",
}
"""Flags that have a name of their own. Every other setting is given as `--set KEY=VALUE`."""
SET = "--set "
DEFAULT = "default"

_TABLE = re.compile(r"\s*\[\s*([\w.-]+)\s*\]")
_KEY = re.compile(r"\s*([\w.-]+)\s*=")


@dataclass(frozen=True, slots=True)
class ConfigValue:
    """A value that somebody gave, and where."""

    key: str
    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """The configuration, and for each key where its value stands."""

    config: Config
    origins: Mapping[str, str]


def load(flags: Mapping[str, object], environ: Mapping[str, str], file: Path | None) -> Loaded:
    """Flags over environment over file over defaults. Reads the file, and nothing else.

    `flags` are by the name they were given with: one of FLAGS, or `--set KEY`. The file is the one given, else the one
    that OHS_CONFIG names. Raises ConfigError for a file that cannot be read, an unknown key and a wrong value.
    """
    named = environ.get(FILE_VARIABLE)
    path = file or (Path(named) if named else None)
    layers = [_of_file(path) if path else [], _of_environment(environ), _of_flags(flags)]
    given = {each.key: each for layer in layers for each in layer}
    origins = {key: given[key].origin if key in given else DEFAULT for key in settings()}
    try:
        config = Config(**_nested(given))
    except ValidationError as error:
        raise _wrong(error, given) from None
    return Loaded(config, origins)


def _of_flags(flags: Mapping[str, object]) -> Iterator[ConfigValue]:
    for flag, value in flags.items():
        key = FLAGS.get(flag) or flag.removeprefix(SET)
        if key not in settings():
            raise ConfigError(flag, f"there is no setting {key!r}{_nearest(key, settings())}")
        yield ConfigValue(key, value, f"flag {flag}")


def _of_environment(environ: Mapping[str, str]) -> Iterator[ConfigValue]:
    variables = {setting.variable: setting for setting in settings().values()}
    ours = {name: text for name, text in environ.items() if name.upper().startswith("OHS_")}
    for name in sorted(ours.keys() - NOT_SETTINGS):
        if name.upper() not in variables:
            raise ConfigError(name, f"this variable sets nothing{_nearest(name.upper(), variables)}")
    source = EnvSettingsSource(Config)
    source.env_vars = {name.lower(): text for name, text in ours.items() if text and name not in NOT_SETTINGS}
    for key, value in _flat(source()):
        yield ConfigValue(key, value, f"environment {settings()[key].variable}")


def _of_file(path: Path) -> Iterator[ConfigValue]:
    try:
        text = path.read_text(encoding="utf-8")
        values = TomlConfigSettingsSource(Config, toml_file=path)()
    except OSError as error:
        raise ConfigError(str(path), f"the file cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), f"the file is not TOML: {error}") from None
    lines = _lines(text)
    for key, value in _flat(values):
        place = f"{path}:{lines[key]}" if key in lines else str(path)
        if key not in settings():
            raise ConfigError(place, f"there is no setting {key!r}{_nearest(key, settings())}")
        yield ConfigValue(key, value, f"file {place}")


def _lines(text: str) -> dict[str, int]:
    """The line on which each key stands, as far as it is written plainly."""
    found: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _TABLE.match(line):
            table = f"{header[1]}."
            found.setdefault(header[1], number)
        elif key := _KEY.match(line):
            found.setdefault(table + key[1], number)
    return found


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves by dotted key. An empty table that is none of ours counts as a leaf, so that it is noticed."""
    tables = {key.partition(".")[0] for key in settings() if "." in key}
    for name, value in values.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and (value or key in tables):
            yield from _flat(value, f"{key}.")
        else:
            yield key, value


def _nested(given: Mapping[str, ConfigValue]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for each in given.values():
        table, _, name = each.key.rpartition(".")
        place = values.setdefault(table, {}) if table else values
        place[name] = each.value
    return values


def _wrong(error: ValidationError, given: Mapping[str, ConfigValue]) -> ConfigError:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    key = ".".join([str(part) for part in first["loc"]][:2])
    while key not in settings():
        key = key.rpartition(".")[0]
    setting, each = settings()[key], given[key]
    return ConfigError(each.origin.partition(" ")[2], f"{key} must be {setting.rule}{_not_this(setting, each.value)}")


def _not_this(setting: Setting, value: object) -> str:
    return "" if setting.secret else f", not {str(value)[:64]!r}"


def _nearest(name: str, known: Mapping[str, object]) -> str:
    close: Sequence[str] = get_close_matches(name, known, n=1)
    last = name.rpartition(".")[2]
    close = close or [key for key in known if key.rpartition(".")[2] == last]
    return f"; did you mean {close[0]!r}?" if close else ""
