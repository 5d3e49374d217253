"""The port's rule for keys, in one place for all kinds of FileStore."""

import re

from openhands_sessions.core.errors import PathRefused

PIECE_BYTES = 256 * 1024

_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_MOST_PARTS = 8


def parts_of(key: str) -> list[str]:
    """The folders and the name of a file. Raises PathRefused."""
    parts = key.split("/")
    if len(parts) > _MOST_PARTS or not all(_PART.fullmatch(part) for part in parts):
        raise PathRefused(
            "a file's key must be 1 to 8 parts joined by '/', each of 1 to 128 letters, digits, '.', '_' or '-', "
            "not beginning with '.'"
        )
    return parts
