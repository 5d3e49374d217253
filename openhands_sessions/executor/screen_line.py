"""One line of a terminal's screen, as cells: one for each column."""

from __future__ import annotations

import re
import unicodedata
from typing import Iterator

_CELL_LIMIT = 16
_NARROW = re.compile("[ -~\u00a0-\u02ff\u0370-\u0482\u2010-\u2026\u2190-\u2319\u2400-\u25fc]*")


class ScreenLine:
    """One cell for each column; a wide character or a tab is followed by empty ones. `told` cells were shown by an
    earlier action (None: none were, and the line counts also if it is empty)."""

    __slots__ = ("cells", "joined", "overwritten", "told")

    def __init__(self, cells: list[str], told: int | None = None, *, joined: bool = False) -> None:
        self.cells = cells
        self.told = told
        self.joined = joined  # continues the line above
        self.overwritten = False

    def change(self, column: int) -> list[str]:
        """The cells, to be changed from a column on."""
        if column < len(self.cells):
            self.overwritten = True
            if self.told is not None and column < self.told:
                self.told = None
        return self.cells

    def erase(self, start: int, end: int) -> None:
        cells = self.change(start)
        end = min(end, len(cells))
        separate(cells, start)
        separate(cells, end)
        cells[start:end] = [" "] * (end - start) if end < len(cells) else []

    def blank(self) -> bool:
        return not "".join(self.cells).strip(" ")

    def news(self, keep: int) -> str | None:
        """What was not told; blanks at the end of an overwritten line only up to the column `keep`."""
        if self.told is not None and self.told >= len(self.cells):
            return None
        end = len(self.cells)
        while self.overwritten and end > keep and self.cells[end - 1] == " ":
            end -= 1
        return "".join(self.cells[self.told or 0 : end])


def cells_of(text: str) -> list[str]:
    if _NARROW.fullmatch(text):
        return list(text)
    return list(_wide_cells(text))


def _wide_cells(text: str) -> Iterator[str]:
    """The cells of any text: marks join the character before them."""
    held = ""
    column = 0
    for character in text:
        if held and (unicodedata.combining(character) or character in "\u200d\ufe0f"):
            held = (held + character)[:_CELL_LIMIT]
            continue
        if held:
            yield held
        held = character
        width = 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if character == "\t":
            width = 8 - column % 8
        column += width
        if width > 1:
            yield held
            held = ""
            for _ in range(width - 1):
                yield ""
    if held:
        yield held


def separate(cells: list[str], column: int) -> None:
    """Make a wide character or tab that reaches over the beginning of a column blanks."""
    if 0 < column < len(cells) and not cells[column]:
        start = end = column
        while start and not cells[start]:
            start -= 1
        while end < len(cells) and not cells[end]:
            end += 1
        cells[start:end] = [" "] * (end - start)
