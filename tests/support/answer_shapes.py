"""Compares a JSON answer with a shape: types, keys and values given as data."""

from collections.abc import Callable
from typing import Any

ANY = object()
"""Whatever there is."""


def refused(code: str, **more: Any) -> dict[str, Any]:
    """The shape of every answer that refuses something."""
    return {"status": "error", "message": str, "code": code, "detail": str, **more}


def mismatch(shape: Any, value: Any, place: str = "") -> str:
    """Where a value is not of a shape; nothing where it is.

    A shape is a value, a type, a tuple of shapes of which one must fit, a dict (exactly these keys), a list of one
    shape for all items, a function that says whether it fits, or ANY.
    """
    match shape:
        case type():
            ok = isinstance(value, shape) and not (shape is int and isinstance(value, bool))
        case tuple():
            ok = any(not mismatch(each, value) for each in shape)
        case dict():
            return _of_object(shape, value, place)
        case [each]:
            if not isinstance(value, list):
                return f"{place}: {value!r} is no list"
            return next(filter(None, (mismatch(each, item, f"{place}[{n}]") for n, item in enumerate(value))), "")
        case Callable():
            ok = shape(value)
        case _:
            ok = shape is ANY or (shape == value and type(shape) is type(value))
    return "" if ok else f"{place}: {value!r} is not {shape!r}"


def _of_object(shape: dict[str, Any], value: Any, place: str) -> str:
    if not isinstance(value, dict) or value.keys() != shape.keys():
        return f"{place}: {value!r} has not the keys {sorted(shape)}"
    return next(filter(None, (mismatch(each, value[key], f"{place}.{key}") for key, each in shape.items())), "")
