"""Limits of JSON: how deeply values from outside may be nested, and what can be stored."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.json_text import without_halves

MAX_DEPTH = 100
"""Levels of lists and objects that are accepted; JSON writers fail at about 250."""
SHOWN_NAME = 64
"""Characters of a field's name in an error."""
MAX_STORED_DEPTH = 200
"""Levels of nesting that are stored: orjson writes no more than 254."""
_BIGGEST_INTEGER = 2**63 - 1
_SCALARS = (str, int, float, type(None))


def too_deep(value: Json, most: int = MAX_DEPTH) -> bool:
    """Whether lists and objects are nested on more than `most` levels."""
    level: list[Json] = [value]
    for _ in range(most + 1):
        level = [inner for outer in level if not isinstance(outer, _SCALARS) for inner in _inside(outer)]
        if not level:
            return False
    return True


def check_nesting(value: Json, whole: str) -> None:
    """Raises BadInput that names the field of an object, or `whole`."""
    if not too_deep(value):
        return
    fields = value.items() if isinstance(value, Mapping) else ()
    field = next((name for name, item in fields if too_deep(item, MAX_DEPTH - 1)), whole)
    raise BadInput(field[:SHOWN_NAME], f"must not be nested more than {MAX_DEPTH} levels deep")


def _inside(value: Json) -> Sequence[Json]:
    """The values one level below. None stands for the level itself, which counts even if it is empty."""
    match value:
        case Mapping():
            return [None, *value.values()]
        case list() | tuple():
            return [None, *value]
        case _:
            return ()


def storable(value: Any, levels: int = MAX_STORED_DEPTH) -> Any:
    """The value with parts replaced that JSON text in UTF-8 cannot hold: lone surrogates by U+FFFD, integers
    beyond 64 bits by floats, what is nested deeper than `levels` by null."""
    match value:
        case str():
            return without_halves(str(value))
        case bool() | None | float():
            return value
        case int():
            return value if -_BIGGEST_INTEGER <= value <= _BIGGEST_INTEGER else _rounded(value)
        case _ if levels == 0:
            return None
        case Mapping():
            return {storable(str(key), levels): storable(item, levels - 1) for key, item in value.items()}
        case list() | tuple():
            return [storable(item, levels - 1) for item in value]
        case _ if hasattr(value, "__dataclass_fields__"):
            return {field.name: storable(getattr(value, field.name), levels - 1) for field in fields(value)}
        case _:
            return value


def _rounded(value: int) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None
