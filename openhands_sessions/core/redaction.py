"""Masks secrets in text that leaves the server."""

import re
from collections.abc import Iterable

MASK = "<secret_hidden>"
_SHORTEST = 4
_KEYS = re.compile(r"\b(?:sk|pk|ghp|gho|hf|xoxb|glpat)[-_][A-Za-z0-9_-]{12,}")
_HOST_PATH = re.compile(r"(?:(?<![\w/.])|(?<=://)|(?<=:///))/(?!workspace\b)(?:[\w.@+-]+/)+[\w.@+-]*")


def mask(text: str, secrets: Iterable[str]) -> str:
    """The text with every given secret, and everything that looks like a provider's key, replaced."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, MASK)
    return _KEYS.sub(MASK, text)


def without_paths(text: str) -> str:
    """The text with absolute paths of the host replaced: for errors shown to users."""
    return _HOST_PATH.sub("<path>", text)
