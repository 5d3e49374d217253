"""Every setting there is: its key, its default, and what a value must be. Read off the models."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from openhands_sessions.config.config import Config

_SECRET = "password"


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One setting. `rule` ends the sentence "it must be …"; `default` is None where nothing is set."""

    key: str
    """`table.name` as in the file."""
    description: str
    rule: str
    default: Any
    secret: bool

    @property
    def variable(self) -> str:
        return f"OHS_{self.key.upper().replace('.', '__')}"


@cache
def settings() -> Mapping[str, Setting]:
    """All settings by key, in the order of the file."""
    schema = Config.model_json_schema()
    return {setting.key: setting for setting in _read("", schema, schema.get("$defs", {}))}


def _read(prefix: str, table: Mapping[str, Any], tables: Mapping[str, Any]) -> Iterator[Setting]:
    for name, field in table["properties"].items():
        section = tables.get(str(field.get("$ref", "")).removeprefix("#/$defs/"))
        if section is not None:
            yield from _read(f"{name}.", section, tables)
            continue
        kinds = [kind for kind in field.get("anyOf", [field]) if kind.get("type") != "null"]
        yield Setting(
            key=f"{prefix}{name}",
            description=field["description"],
            rule=_rule(kinds[0]),
            default=field.get("default"),
            secret=kinds[0].get("format") == _SECRET,
        )


def _rule(kind: Mapping[str, Any]) -> str:
    match kind:
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
            what = "host names, without scheme and port" if "pattern" in items else "texts"
            return f"a list of {what} (in the environment and in flags: separated by commas)"
        case {"format": "path"}:
            return "a path"
        case {"format": "password", "minLength": least}:
            return f"a text of at least {least} characters"
        case {"format": "password"}:
            return "a text of printable ASCII characters"
        case _:
            return "a text"


def _range(kind: Mapping[str, Any]) -> str:
    least, most, above = kind.get("minimum"), kind.get("maximum"), kind.get("exclusiveMinimum")
    if above is not None:
        return f" above {above:g}"
    if least is not None and most is not None:
        return f" from {least:g} to {most:g}" if most < 1_000_000 else f" from {least:g} to {most}"
    return "" if least is None else f" of at least {least:g}"
