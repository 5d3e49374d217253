"""Replaces secrets in texts: those whose values are known, in every form in which they are written, and those of known
forms. The server masks what it records with it, the executor what its journal keeps."""

from __future__ import annotations

import base64
import json
import re
from typing import Iterable, Iterator, Sequence
from urllib.parse import quote, quote_plus

from . import known_forms
from .string_finder import StringFinder

MASK = "<secret_hidden>"
SHORTEST = 4
CONTEXT = known_forms.CONTEXT
_SHORTEST_BASE64 = 6
_SHORT = 1000
"""Characters of a text that most often has none."""
_LEFT_OUT = f"{MASK} (the text could not be searched for secrets)"
"""Stands for a whole text."""
_ESCAPES = re.compile(r"%[0-9A-F]{2}")


class TextMasker:
    """Masks the values of secrets. Values of fewer than 4 characters are not masked: they would match everywhere.
    What is masked already stays as it is. Where the search itself fails, the whole text is left out."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._forms: set[str] = set()
        self._values = StringFinder(())
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Mask these, too, from now on."""
        forms = {form for secret in secrets if len(secret.strip()) >= SHORTEST for form in _forms(secret)}
        new = forms.union(map(encoded, forms))
        if not new <= self._forms:
            self._forms |= new
            self._values = StringFinder(self._forms)

    def text(self, text: str) -> str:
        """The text with every secret replaced. Never raises."""
        try:
            return masked(text, self.spans(text))
        except Exception:  # whatever it was: nothing is written in clear
            return _LEFT_OUT

    def possible(self, text: str) -> bool:
        """Whether the text may hold a secret, also as text inside JSON, where a line break is an escape."""
        if known_forms.possible(text):
            return True
        if not self._forms:
            return False
        if self._values.among(text):
            return True
        return "\\n" in text and self._values.among(text.replace("\\r", "").replace("\\n", ""))

    def spans(self, text: str) -> Sequence[tuple[int, int]]:
        """Where secrets, and masks, stand in the text: in order, without overlaps."""
        found = self._values.spans(text)
        if len(text) > _SHORT or known_forms.possible(text):
            found.extend(known_forms.spans(text))
        return _joined(text, found) if found else ()

    def begun(self, text: str, known: int = 0) -> int:
        """How many characters at the end of the text may be the beginning of a secret. In the first `known` characters
        none has begun."""
        return max(self._values.begun(text[known:]), known_forms.growing(text))

    def beginning(self, text: str) -> str:
        """The masked beginning of a longer text: with a secret that the cut has parted, too."""
        try:
            cut = self.begun(text)
            for start, end in self.spans(text):
                if start < len(text) - cut < end:
                    cut = len(text) - start
        except Exception:  # as for `text`
            return _LEFT_OUT
        return self.text(text) if cut < SHORTEST else self.text(text[:-cut]) + MASK

    def rest(self, text: str) -> str:
        """The masked end of a longer text: with a secret that the cut has parted, too."""
        try:
            cut = max(self._values.ended(text), known_forms.cut_off(text))
            for start, end in self.spans(text):
                if start < cut < end:
                    cut = end
        except Exception:  # as for `text`
            return _LEFT_OUT
        return self.text(text) if cut < SHORTEST else MASK + self.text(text[cut:])


def masked(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """The text with a mask in place of each span."""
    if not spans:
        return text
    parts, done = [], 0
    for start, end in spans:
        parts += [text[done:start], MASK]
        done = end
    return "".join([*parts, text[done:]])


def encoded(text: str) -> str:
    """A text as it stands inside JSON."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _joined(text: str, found: list[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    """In order, those that overlap as one; what lies in a mask is none of its own."""
    start = text.find(MASK)
    while start >= 0:
        found.append((start, start + len(MASK)))
        start = text.find(MASK, start + len(MASK))
    joined: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _forms(secret: str) -> Iterator[str]:
    """The forms in which a secret can appear: as it is, and as JSON, addresses, shells and Base64 have it."""
    plain = secret.strip()
    for value in {plain, plain.replace("\r\n", "\n"), plain.replace("\r\n", "\n").replace("\n", "\r\n")}:
        yield value
        yield from _in_json(value)
        if not value.isalnum():
            yield from _in_addresses(value)
            yield from _in_shells(value)
        yield from _in_base64(value)


def _in_json(value: str) -> Iterator[str]:
    for once in (encoded(value), json.dumps(value)[1:-1], encoded(value).replace("/", "\\/")):
        yield from (once, encoded(once), json.dumps(once)[1:-1])


def _in_addresses(value: str) -> Iterator[str]:
    data = value.encode("utf-8", "replace")
    for text in (quote(data), quote(data, safe=""), quote(data, safe="!~*'()"), quote_plus(data)):
        yield text
        yield _ESCAPES.sub(lambda escape: escape.group().lower(), text)


def _in_shells(value: str) -> Iterator[str]:
    yield value.replace("'", "'\"'\"'")
    yield value.replace("'", "'\\''")
    yield re.sub(r'([\\"$`])', r"\\\1", value)
    yield re.sub(r'([\\"$`!])', r"\\\1", value)
    yield re.sub(r"([^\w@%+=:,./\n-])", r"\\\1", value)
    yield repr(value)[1:-1]
    yield value.replace("\\", "\\\\").replace("'", "\\'")


def _in_base64(value: str) -> Iterator[str]:
    """What its bytes become in the middle of other bytes: three ways, by where they begin."""
    data = value.encode("utf-8", "replace")
    for before in range(3):
        text = base64.b64encode(b"\0" * before + data).decode()
        whole = text[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
        if len(whole) >= _SHORTEST_BASE64:
            yield whole
            yield whole.replace("+", "-").replace("/", "_")
