"""Masks secrets in text that leaves the server."""

import re
from collections.abc import Iterable
from typing import Any

from openhands_sessions.executor.masking import MASK as MASK
from openhands_sessions.executor.masking import SHORTEST, TextMasker, encoded

_WORD = re.compile(r"_?[a-z_]+")
_KINDS = frozenset(
    {"source", "action", "observation", "confirmation_state", "agent_state", "recall_type", "impl_source"}
)
_WORDS = {
    "command": ("view", "create", "str_replace", "insert", "undo_edit", "plan"),
    "status": ("todo", "in_progress", "done"),
}
_KEYS = re.compile(r"\b(?:sk|pk|ghp|gho|hf|xoxb|glpat)[-_][A-Za-z0-9_-]{12,}")
_HOST_PATH = re.compile(r"(?:(?<![\w/.])|(?<=://)|(?<=:///))/(?!workspace\b)(?:[\w.@+-]+/)+[\w.@+-]*")


def mask(text: str, secrets: Iterable[str]) -> str:
    """The text with every given secret, and everything that looks like a provider's key, replaced."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= SHORTEST:
            text = text.replace(secret, MASK)
    return _KEYS.sub(MASK, text)


def without_paths(text: str) -> str:
    """The text with absolute paths of the host replaced: for errors shown to users."""
    return _HOST_PATH.sub("<path>", text)


class SecretMasker(TextMasker):
    """Masks the values of one conversation's secrets, in texts and in events."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__(secrets)
        self._encoded = tuple({encoded(form) for form in self.forms})

    def hides_in(self, text: str) -> bool:
        """Whether the text holds a mask, if there are secrets at all."""
        return bool(self.forms) and MASK in text

    def touches(self, encoded: str) -> bool:
        """Whether JSON text may hold a secret."""
        return any(form in encoded for form in self._encoded)

    def tree(self, value: Any) -> Any:
        """A JSON value with every secret in its texts replaced, except in words that the protocol defines."""
        match value:
            case str():
                return self.text(value)
            case dict():
                return {
                    key if _WORD.fullmatch(key) else self.text(key): item if _is_word(key, item) else self.tree(item)
                    for key, item in value.items()
                }
            case list():
                return [self.tree(item) for item in value]
            case _:
                return value


class StreamMasker:
    """Masks secrets in a text that arrives in pieces; a possible start of a secret is held back until more arrives."""

    def __init__(self, masker: SecretMasker) -> None:
        self._masker = masker
        self.held = ""
        """Text that is held back."""

    def feed(self, piece: str) -> str:
        """What can be shown now, masked."""
        text = self.held + piece
        end = len(text) - self._masker.begun(text)
        for start, stop in self._masker.spans(text):
            if start < end < stop:
                end = start
        self.held = text[end:]
        return self._masker.text(text[:end])

    def restart(self) -> None:
        """Drop what is held: the text starts again."""
        self.held = ""


def _is_word(key: str, value: Any) -> bool:
    """Whether the value is a word that the protocol defines: a state, a kind, a command of the editor."""
    if not isinstance(value, str):
        return False
    return key == "timestamp" or value in _WORDS.get(key, ()) or (key in _KINDS and bool(_WORD.fullmatch(value)))
