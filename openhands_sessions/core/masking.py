"""Masks secrets in text that leaves the server."""

import re
from contextvars import ContextVar
from typing import Any

from openhands_sessions.executor.masking import CONTEXT, masked
from openhands_sessions.executor.masking import MASK as MASK
from openhands_sessions.executor.masking import TextMasker as TextMasker

_WORD = re.compile(r"_?[a-z_]+")
_KINDS = frozenset(
    {"source", "action", "observation", "confirmation_state", "agent_state", "recall_type", "impl_source"}
)
_WORDS = {
    "command": ("view", "create", "str_replace", "insert", "undo_edit", "plan"),
    "status": ("todo", "in_progress", "done"),
}
_IMAGE = re.compile(r"data:image/[\w.+-]+;base64,[A-Za-z0-9+/=]*")
_LONG = 64 << 10
_HOST_PATH = re.compile(r"(?:(?<![\w/.])|(?<=://)|(?<=:///))/(?!workspace\b)(?:[\w.@+-]+/)+[\w.@+-]*")


session_masker: ContextVar[TextMasker | None] = ContextVar("session_masker", default=None)
"""Knows the secrets of the session that runs here: for what it logs."""


def without_paths(text: str) -> str:
    """The text with absolute paths of the host replaced: for errors shown to users."""
    return _HOST_PATH.sub("<path>", text)


class SecretMasker(TextMasker):
    """Masks the values of one conversation's secrets, in texts and in events."""

    def of(self, text: str | None) -> str | None:
        """The text without secrets, None for none."""
        return None if text is None else self.text(text)

    def hides_in(self, text: str) -> bool:
        """Whether the text holds a mask."""
        return MASK in text

    def touches(self, encoded: str) -> bool:
        """Whether JSON text may hold a secret. What an image looks like inside is nobody's secret."""
        return self.possible(_IMAGE.sub("", encoded) if len(encoded) > _LONG and ";base64," in encoded else encoded)

    def tree(self, value: Any) -> Any:
        """A JSON value with every secret in its texts replaced, except in words that the protocol defines."""
        match value:
            case str():
                return value if value.startswith("data:image/") and _IMAGE.fullmatch(value) else self.text(value)
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
        self._told = ""
        """The end of what was shown, which may say that a secret follows."""
        self.held = ""
        """Text that is held back."""

    def feed(self, piece: str) -> str:
        """What can be shown now, masked. Never raises: what cannot be searched is not shown."""
        try:
            return self._feed(piece)
        except Exception:
            self.restart()
            return ""

    def restart(self) -> None:
        """Drop what is held: the text starts again."""
        self._told = self.held = ""

    def _feed(self, piece: str) -> str:
        known, text = len(self._told), self._told + self.held + piece
        end = max(known, len(text) - self._masker.begun(text, known))
        spans = self._masker.spans(text)
        for start, stop in spans:
            if start < end < stop:
                end = max(known, start)
        shown = text[known:end]
        self.held, self._told = text[end:], text[max(0, end - CONTEXT) : end]
        return masked(
            shown, [(max(start, known) - known, stop - known) for start, stop in spans if known < stop <= end]
        )


def _is_word(key: str, value: Any) -> bool:
    """Whether the value is a word that the protocol defines: a state, a kind, a command of the editor."""
    if not isinstance(value, str):
        return False
    return key == "timestamp" or value in _WORDS.get(key, ()) or (key in _KINDS and bool(_WORD.fullmatch(value)))
