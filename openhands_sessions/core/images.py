"""Pictures that models take, by their first bytes: what is said of their kind elsewhere may be wrong."""

import re

_FIRST_BYTES = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
}


def picture_kind(content: bytes) -> str | None:
    """The media type of a PNG, JPEG, GIF or WebP picture; None for anything else."""
    return next((kind for kind, first in _FIRST_BYTES.items() if first.match(content)), None)
