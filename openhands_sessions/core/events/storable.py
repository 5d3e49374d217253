"""What JSON text in UTF-8 can hold."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

DEEPEST = 200
"""Levels of nesting that are stored: orjson writes no more than 254."""
_BIGGEST_INTEGER = 2**63 - 1


def storable(value: Any, levels: int = DEEPEST) -> Any:
    """The same value where it can be stored. Lone surrogates become `?`, integers beyond 64 bits become floats, what is
    nested deeper than `levels` becomes null."""
    match value:
        case str():
            return str(value).encode("utf-8", "replace").decode()
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
