"""Finds many strings in a text in one pass, whatever their number. Line breaks in the text do not matter: long values
are wrapped where they are printed."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import Iterable, Iterator

GRAM = 4
_LONG = 8
"""Strings of so many characters are found by their grams, shorter ones one by one."""
_WIDEST = 16
"""Characters between two grams that are looked up, at most: more would cost memory for each string."""


class StringFinder:
    """Looks up one gram (4 characters) of the text in every stride. The stride is so wide that each occurrence of each
    string holds one whole gram, and so narrow that it is one of the string's first."""

    def __init__(self, strings: Iterable[str]) -> None:
        found = set(map(unbroken, strings)) - {""}
        self.longest = max(map(len, found), default=0)
        self._short = [one for one in found if len(one) < _LONG]
        long = [one for one in found if len(one) >= _LONG]
        self._stride = min([len(one) - GRAM + 1 for one in long] + [_WIDEST])
        self._index: dict[str, list[tuple[str, int]]] = {}
        for one in long:
            for offset in range(self._stride):
                self._index.setdefault(one[offset : offset + GRAM], []).append((one, offset))
        self._sorted = _Sorted(found)
        self._reversed = _Sorted(one[::-1] for one in found)

    def among(self, text: str) -> bool:
        """Whether one of them is in the text."""
        return bool(self.longest) and next(self._found(unbroken(text)), None) is not None

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where they stand in the text, in no order."""
        plain = unbroken(text)
        found = list(self._found(plain))
        if not found or len(plain) == len(text):
            return found
        place = _Places(text)
        return [(place(start), place(end - 1) + 1) for start, end in found]

    def begun(self, text: str) -> int:
        """How many characters at the end of the text may be the beginning of one of them."""
        tail = text[-2 * self.longest :] if self.longest else ""
        begun = self._sorted.begun(unbroken(tail), self.longest)
        return len(tail) - _Places(tail)(len(unbroken(tail)) - begun) if begun else 0

    def ended(self, text: str) -> int:
        """How many characters at the start of the text may be the end of one of them."""
        head = text[: 2 * self.longest]
        ended = self._reversed.begun(unbroken(head)[::-1], self.longest)
        return _Places(head)(ended - 1) + 1 if ended else 0

    def _found(self, plain: str) -> Iterator[tuple[int, int]]:
        for one in self._short:
            start = plain.find(one)
            while start >= 0:
                yield start, start + len(one)
                start = plain.find(one, start + 1)
        index = self._index
        if not index:
            return
        for place in [at for at in range(0, len(plain), self._stride) if plain[at : at + GRAM] in index]:
            for one, offset in index[plain[place : place + GRAM]]:
                if offset <= place and plain.startswith(one, place - offset):
                    yield place - offset, place - offset + len(one)


def unbroken(text: str) -> str:
    """The text without line breaks."""
    return text.replace("\r", "").replace("\n", "")


class _Places:
    """Where a character of the text without its line breaks stands in the text."""

    def __init__(self, text: str) -> None:
        self._breaks = list(accumulate(map(len, text.replace("\r", "\n").split("\n"))))[:-1]

    def __call__(self, place: int) -> int:
        return place + bisect_right(self._breaks, place)


class _Sorted:
    """Strings that may have begun at the end of a text."""

    def __init__(self, strings: Iterable[str]) -> None:
        self._strings = sorted(strings)
        self._firsts = frozenset(one[0] for one in self._strings)

    def begun(self, text: str, longest: int) -> int:
        """The length of the longest end of the text that is the beginning of one of them, but not all of it."""
        for start in range(max(0, len(text) - longest + 1), len(text)):
            if text[start] in self._firsts:
                end = text[start:]
                after = bisect_right(self._strings, end)
                if after < len(self._strings) and self._strings[after].startswith(end):
                    return len(text) - start
        return 0
