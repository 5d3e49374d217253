"""What the state of a session, a user or an app may hold: keys, and plain JSON values."""

import math
from collections.abc import Mapping

import orjson

from openhands_sessions.core.errors import BadInput, TooLarge, UnstorableValue
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.json_limits import MAX_DEPTH

LONGEST_KEY = 200
"""Characters."""
LARGEST_VALUE = 64 * 1024
"""Bytes of one value as JSON text."""
LARGEST_STATE = 256 * 1024
"""Bytes of all keys and values of one state."""
_LARGEST_INTEGER = 2**63 - 1


def checked_key(key: object) -> str:
    """A key: text of 1 to LONGEST_KEY printable characters. Raises BadInput."""
    if isinstance(key, str) and 0 < len(key) <= LONGEST_KEY and key.isprintable():
        return str.__str__(key)
    raise BadInput("key", f"must be a text of 1 to {LONGEST_KEY} printable characters")


def plain(value: object, path: str, levels: int = MAX_DEPTH) -> Json:
    """A copy of the value that shares nothing with it, made of what JSON has; tuples become lists. `path` names the
    value in errors. Raises UnstorableValue, which names the first part that cannot be stored."""
    match value:
        case None | bool():
            return value
        case str():
            return _text(value, path)
        case int():
            return _integer(value, path)
        case float():
            if not math.isfinite(value):
                raise UnstorableValue(path, f"must be a finite number, not {value}")
            return float(value)
        case list() | tuple() | Mapping() if levels == 0:
            raise UnstorableValue(path, f"must not be nested more than {MAX_DEPTH} levels deep")
        case list() | tuple():
            return [plain(item, f"{path}[{place}]", levels - 1) for place, item in enumerate(value)]
        case Mapping():
            return {_name(name, path): plain(item, f"{path}.{name}", levels - 1) for name, item in [*value.items()]}
        case _:
            raise UnstorableValue(
                path, f"must be made of texts, numbers, booleans, None, lists and dicts, not {type(value).__name__}"
            )


def size_of_value(key: str, value: Json) -> int:
    """Bytes that an entry takes, its key with it. Raises TooLarge."""
    size = len(orjson.dumps(value))
    if size > LARGEST_VALUE:
        raise TooLarge(f"{key!r} would take {size:,} bytes, and a value may take {LARGEST_VALUE:,}", LARGEST_VALUE)
    return size + len(key.encode())


def _text(value: str, path: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UnstorableValue(path, "must be text without lone surrogates") from None
    return str.__str__(value)


def _integer(value: int, path: str) -> int:
    if not -_LARGEST_INTEGER <= value <= _LARGEST_INTEGER:
        raise UnstorableValue(path, "must be a whole number of at most 64 bits")
    return int(value)


def _name(name: object, path: str) -> str:
    if not isinstance(name, str):
        raise UnstorableValue(path, f"must have names that are texts, not {type(name).__name__}")
    return _text(name, path)
