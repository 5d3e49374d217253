"""Loads the configuration with the origin of each value, and lists the settings that exist."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, SecretStr, ValidationError

from openhands_sessions.config.config import Config
from openhands_sessions.config.errors import ConfigError
from openhands_sessions.config.session_key import VARIABLES as KEY_VARIABLES

FILE_VARIABLE = "OHS_CONFIG"
NOT_SETTINGS = frozenset({FILE_VARIABLE, "OHS_ACTION_ID"})
"""`OHS_` variables that are no settings: the name of the file, and the one that commands in a sandbox have."""
FLAGS = {
    "--host": "server.host",
    "--port": "server.port",
    "--no-auth": "auth.kind",
    "--data-dir": "data_dir",
    "--session-api-key": "server.session_api_key",
    "--model": "llm.model",
    "--base-url": "llm.base_url",
    "--agent": "agent.kind",
    "--confirm": "agent.confirmation_mode",
}
"""Flags for single settings. Every other setting is given as `--set KEY=VALUE`."""
SET = "--set "
DEFAULT = "default"
KEY = "server.session_api_key"
"""Has a second variable, and may be given as an empty text, which says that there is none."""

_FORMATS = {
    "base-path": "a path of letters, digits, `.`, `_`, `~` and `-`, such as `/agents`",
    "header": "the name of a header",
    "path": "a path",
    "prices": "a list of tables with `tool`, either `dollars` (0 or more) or `recurring = true`, and, if wanted, "
    "`pattern` (in the environment and in flags: as JSON)",
    "quotas": "a list of tables with at least one of `tokens`, `dollars` and `conversations` and, if wanted, `models` "
    "(in the environment and in flags: as JSON)",
    "rules": "a list of tables with `decision` (`allow`, `ask` or `deny`) and, as far as wanted, `tool`, `pattern` and "
    "`risk` (in the environment and in flags: as JSON)",
}
_TABLE = re.compile(r"\s*\[\s*([\w.-]+)\s*\]")
_KEY = re.compile(r"\s*([\w.-]+)\s*=")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting that exists, by its `key`: `table.name` as in the file. Described by the models of `config.py`."""

    key: str
    table: type[BaseModel]
    name: str

    @property
    def variable(self) -> str:
        return f"OHS_{self.key.upper().replace('.', '__')}"

    @property
    def description(self) -> str:
        return self.table.model_fields[self.name].description or ""

    @property
    def secret(self) -> bool:
        return _is_secret(self.table.model_fields[self.name].annotation)

    @property
    def default(self) -> Any:
        """The default as JSON; None if nothing is set."""
        return self._schema().get("default")

    @property
    def rule(self) -> str:
        """Ends the sentence "it must be …"."""
        field = self._schema()
        return _rule(next(kind for kind in field.get("anyOf", [field]) if kind.get("type") != "null"))

    def _schema(self) -> Mapping[str, Any]:
        """Built when it is asked for: it would double the time that loading takes."""
        field: Mapping[str, Any] = self.table.model_json_schema()["properties"][self.name]
        return field


@dataclass(frozen=True, slots=True)
class ConfigValue:
    """A value that was given, and its origin: a flag, a variable, or a file with its line."""

    key: str
    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """The configuration, and the origin of each key's value; beside it, the keys of models' providers that the
    environment holds, by their variables."""

    config: Config
    origins: Mapping[str, str]
    provider_keys: Mapping[str, SecretStr] = field(default_factory=dict)


def load(flags: Mapping[str, object], environ: Mapping[str, str], file: Path | None) -> Loaded:
    """Flags over environment over file over defaults.

    `flags` are keyed by one of FLAGS or by `--set KEY`. Without `file`, OHS_CONFIG names it. Raises ConfigError for a
    file that cannot be read, an unknown key and a wrong value.
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
    ours = {name: text for name, text in environ.items() if name.upper().startswith("OHS_")}
    variables = {setting.variable: setting.key for setting in settings().values()} | dict.fromkeys(KEY_VARIABLES, KEY)
    for name in sorted(ours.keys() - NOT_SETTINGS):  # of the key's variables, the one that counts comes last
        key = variables.get(name.upper())
        if key is None:
            raise ConfigError(name, f"this variable sets nothing{_nearest(name.upper(), variables)}")
        if ours[name] or key == KEY:
            yield ConfigValue(key, ours[name], f"environment {name.upper()}")


def _of_file(path: Path) -> Iterator[ConfigValue]:
    try:
        text = path.read_bytes().decode()
        values = tomllib.loads(text)
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
    """The line of each key that is written as `key =` or `[table]`."""
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
    """Leaves by dotted key. An unknown empty table counts as a leaf, so that it is reported."""
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
    not_this = "" if setting.secret else f", not {str(each.value)[:64]!r}"
    return ConfigError(each.origin.partition(" ")[2], f"{key} must be {setting.rule}{not_this}")


def _nearest(name: str, known: Mapping[str, object]) -> str:
    close: Sequence[str] = get_close_matches(name, known, n=1)
    last = name.rpartition(".")[2]
    close = close or [key for key in known if key.rpartition(".")[2] == last]
    return f"; did you mean {close[0]!r}?" if close else ""


@cache
def settings() -> Mapping[str, Setting]:
    """All settings by key, in the order of the file."""
    return {setting.key: setting for setting in _settings_of(Config, "")}


def _settings_of(table: type[BaseModel], prefix: str) -> Iterator[Setting]:
    for name, info in table.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _settings_of(info.annotation, f"{name}.")
        else:
            yield Setting(f"{prefix}{name}", table, name)


def _is_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(map(_is_secret, get_args(annotation)))


def _rule(kind: Mapping[str, Any]) -> str:
    match kind:
        case {"format": "base-path" | "header" | "path" | "prices" | "quotas" | "rules" as form}:
            return _FORMATS[form]
        case {"enum": choices}:
            return " or ".join(f"`{choice}`" for choice in choices)
        case {"const": only}:
            return f"`{only}`"
        case {"type": "boolean"}:
            return "`true` or `false`"
        case {"type": "integer"}:
            return f"a whole number{_range(kind)}"
        case {"type": "number"}:
            return f"a number{_range(kind)}"
        case {"type": "array", "items": items}:
            return f"a list of {_elements(items)} (in the environment and in flags: separated by commas)"
        case {"format": "password", "minLength": least}:
            return f"a text of at least {least} characters"
        case {"format": "password"}:
            return "a text of printable ASCII characters"
        case _:
            return "a text"


def _elements(kind: Mapping[str, Any]) -> str:
    if kind.get("format") == "network":
        return "addresses or networks, such as 10.0.0.7 or 10.0.0.0/24"
    return "host names, without scheme and port" if "pattern" in kind else "texts"


def _range(kind: Mapping[str, Any]) -> str:
    least, most, above = kind.get("minimum"), kind.get("maximum"), kind.get("exclusiveMinimum")
    if above is not None:
        return f" above {above:g}"
    if least is not None and most is not None:
        return f" from {least:g} to {most:g}" if most < 1_000_000 else f" from {least:g} to {most}"
    return "" if least is None else f" of at least {least:g}"
