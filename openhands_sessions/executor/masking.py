"""Replaces secrets in texts. The server masks what it records with it, the executor what its journal keeps."""

from __future__ import annotations

import json
import re
from typing import Iterable, Iterator

MASK = "<secret_hidden>"
SHORTEST = 4


class TextMasker:
    """Masks the values of secrets. Values of fewer than 4 characters are not masked: they would match everywhere.
    What is masked already stays as it is."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets for form in _forms(secret) if len(form) >= SHORTEST}
        self.forms = tuple(sorted(forms, key=len, reverse=True))
        self._pattern = re.compile("|".join(map(re.escape, (MASK, *self.forms)))) if forms else None

    def text(self, text: str) -> str:
        """The text with every secret replaced."""
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where secrets, and masks, stand in the text."""
        if self._pattern is not None:
            yield from (match.span() for match in self._pattern.finditer(text))

    def begun(self, text: str) -> int:
        """How many characters at the end of the text may be the beginning of a secret."""
        longest = 0
        for form in self.forms:
            most = min(len(form) - 1, len(text))
            longest = max(longest, next((n for n in range(most, longest, -1) if text.endswith(form[:n])), 0))
        return longest

    def beginning(self, text: str) -> str:
        """The masked beginning of a longer text: with a secret that the cut has parted, too."""
        text = self.text(text)
        cut = self.begun(text)
        return text if cut < SHORTEST else text[:-cut] + MASK

    def rest(self, text: str) -> str:
        """The masked end of a longer text: with a secret that the cut has parted, too."""
        text = self.text(text)
        cut = 0
        for form in self.forms:
            most = min(len(form) - 1, len(text))
            cut = max(cut, next((n for n in range(most, cut, -1) if text.startswith(form[-n:])), 0))
        return text if cut < SHORTEST else MASK + text[cut:]


def encoded(text: str) -> str:
    """A text as it stands inside JSON."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _forms(secret: str) -> Iterator[str]:
    """The forms in which a secret can appear: as it is, as a terminal prints it, and inside JSON."""
    yield secret
    yield secret.strip()
    yield secret.replace("\r\n", "\n").strip()
    yield secret.replace("\r\n", "\n").replace("\n", "\r\n").strip()
    yield encoded(secret)
