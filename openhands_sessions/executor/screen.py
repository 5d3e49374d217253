"""The last lines of an output as a terminal shows them: overwritten, erased, moved and scrolled."""

from __future__ import annotations

import copy
import re

from .screen_line import ScreenLine, cells_of, separate
from .terminal import COLUMNS, ROWS

LINE_LIMIT = 4096
"""Columns of a line that no program addresses; what is longer is carried on in another one."""
_PARTIAL_LIMIT = 4096
_CONTROL = re.compile(
    r"\x1b\[([0-?]*)[ -/]*([@-~])"  # a control sequence: its parameters and its letter
    r"|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)"  # a string for the terminal, such as its title
    r"|\x1b[ -/]*([0-~])"
    r"|([\x00-\x1f\x7f])"
)
_PARTIAL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b\n]*\x1b?|[ -/]*)\Z")
_STRING_END = re.compile(r"\x07|\x1b\\?|(?=\n)")
_FRAME = re.compile(r"\r([ -~]*)(?=\r([ -~]*))")
_ALTERNATE = {"?47", "?1047", "?1049"}
_PRIVATE = ("<", "=", ">")
_MOVES = {"A": (-1, 0), "B": (1, 0), "C": (0, 1), "D": (0, -1), "E": (1, 0), "F": (-1, 0), "a": (0, 1), "e": (1, 0)}
"""Rows and columns that the cursor moves for each letter of a control sequence."""


class TerminalScreen:
    """The lines of a terminal and its cursor. It begins with the lines that were `told` by an earlier action and the
    `text` after them. Without positions on the screen, its lines are as long as the output's."""

    def __init__(self, told: str, text: str) -> None:
        self._lines = [ScreenLine(cells, len(cells)) for cells in map(cells_of, told.split("\n"))]
        self._lines[-1].told = self._lines[-1].told or None
        first, *rest = text.split("\n")
        self._lines[-1].cells += cells_of(first)
        self._lines += [ScreenLine(cells_of(each)) for each in rest]
        del self._lines[:-ROWS]
        self._row = len(self._lines) - 1
        self._column = len(self._lines[-1].cells)
        self._saved = (0, 0)
        self._top, self._bottom = 0, ROWS - 1
        self._alternate = False
        self._addressed = False
        self._partial = ""
        self._in_string = False
        self._last = (" " + told + text)[-1]
        self._gone: list[str] = []
        self._above: list[ScreenLine] = []  # pushed off the screen, as programs do when they end, and not told yet
        self.application_keys = False
        """The cursor keys send `ESC O` in place of `ESC [`."""

    def told(self) -> TerminalScreen:
        """A copy whose lines are all told, for the next action."""
        other = copy.copy(self)
        other._lines = [ScreenLine(line.cells[:], len(line.cells), joined=line.joined) for line in self._lines]
        other._gone, other._above = [], []
        return other

    def feed(self, text: str) -> str:
        """Show output; returns the lines that left the screen at its top."""
        if self._in_string:
            end = _STRING_END.search(text)
            if end is None:
                return ""
            text, self._in_string = text[end.end() :], False
        text, self._partial = self._partial + text, ""
        partial = _PARTIAL.search(text)
        if partial is not None:
            self._in_string = len(partial[0]) > _PARTIAL_LIMIT
            self._partial = "" if self._in_string else partial[0]
            text = text[: partial.start()]
        text = _FRAME.sub(_unless_overwritten, text)
        position = 0
        for control in _CONTROL.finditer(text):
            self._write(text[position : control.start()])
            position = control.end()
            parameters, letter, escape, character = control.groups()
            if letter:
                self._control(parameters, letter)
            elif escape:
                self._escape(escape)
            elif character:
                self._character(character)
        self._write(text[position:])
        gone, self._gone = "".join(self._gone), []
        return gone

    def settled(self) -> bool:
        """Whether the cursor is where plain output goes on: at the end of all lines."""
        self._trim()
        at_end = self._row == len(self._lines) - 1 and self._column == len(self._lines[-1].cells)
        pending = self._partial or self._in_string or self._alternate or (self._top, self._bottom) != (0, ROWS - 1)
        return at_end and not pending

    def text(self) -> str:
        """What its lines show that was not told. Where a program addresses the screen: all of it, if any is new."""
        self._trim()
        news = [line.news(self._column if row == self._row else 0) for row, line in enumerate(self._lines)]
        if self._addressed:
            shown = "\n".join("".join(line.cells).rstrip(" ") for line in self._above + self._lines)
            at_end = 0 < self._column == len(self._lines[-1].cells) and self._row == len(self._lines) - 1
            return shown.rstrip("\n") + "\n" * (not at_end) if any(text is not None for text in news) else ""
        return "".join(self._ended(row, text) for row, text in enumerate(news) if text is not None)

    def context(self) -> str:
        """The told lines above what is new."""
        told = []
        for line in self._lines:
            told.append("".join(line.cells[: line.told or 0]))
            if line.told is None or line.told < len(line.cells):
                break
        return "\n".join(told)

    def _ended(self, row: int, text: str) -> str:
        last = row + 1 == len(self._lines)
        return text if last or self._lines[row + 1].joined else text + "\n"

    def _trim(self) -> None:
        """Drop the empty lines below the cursor."""
        while len(self._lines) > self._row + 1 and self._lines[-1].blank():
            self._lines.pop()

    @property
    def _width(self) -> int:
        return COLUMNS if self._addressed else LINE_LIMIT

    def _write(self, text: str) -> None:
        if not text:
            return
        self._last = text[-1]
        self._above = []
        cells = cells_of(text)
        start = 0
        while start < len(cells):
            if self._column >= self._width:
                self._line_feed()
                self._lines[self._row].joined = not self._addressed
            end = start + self._width - self._column
            if start + 1 < end < len(cells) and not cells[end]:
                end -= 1  # a wide character does not fit
            self._put(cells[start:end])
            start = end

    def _put(self, new: list[str]) -> None:
        cells = self._lines[self._row].change(self._column)
        end = self._column + len(new)
        cells += [" "] * (self._column - len(cells))
        separate(cells, self._column)
        separate(cells, end)
        cells[self._column : end] = new
        self._column = end

    def _character(self, character: str) -> None:
        if character == "\r":
            self._column = 0
        elif character in "\n\x0b\x0c":
            self._line_feed()
        elif character == "\b":
            self._go(column=min(self._column, self._width) - 1)
        elif character == "\t":
            stop = min(self._column // 8 * 8 + 8, self._width)
            if self._column < len(self._lines[self._row].cells) or stop == self._column:
                self._go(column=stop)
            else:
                self._put(["\t"] + [""] * (stop - self._column - 1))

    def _escape(self, letter: str) -> None:
        if letter == "7":
            self._saved = self._row, self._column
        elif letter == "8":
            self._go(*self._saved)
        elif letter == "M":
            if self._row == self._top:
                self._move_lines(self._top, -1)
            else:
                self._go(self._row - 1)
        elif letter in ("D", "E"):
            self._line_feed()
        elif letter == "c":
            self._clear()

    def _control(self, parameters: str, letter: str) -> None:
        if letter in "hl":
            self._mode(parameters, letter == "h")
            return
        if parameters[:1] in _PRIVATE:
            return
        numbers = [min(int(number), 9999) if number.isdigit() else 0 for number in parameters.split(";")] + [0]
        first, count = numbers[0], max(1, numbers[0])
        row, column = self._row, min(self._column, self._width - 1)
        if letter in _MOVES:
            down, right = _MOVES[letter]
            self._go(row + down * count, 0 if letter in "EF" else column + right * count)
        elif letter in "G`Hfdrsu":
            self._position(letter, first, numbers[1])
        elif letter in "JKP@X":
            self._edit(letter, first, column)
        elif letter in "LMST":
            self._scroll(letter, count)
        elif letter == "b":
            self._write(self._last * min(count, COLUMNS))

    def _position(self, letter: str, first: int, second: int) -> None:
        self._addressed = self._addressed or letter in "Hfdr"
        if letter in "G`":
            self._go(column=max(1, first) - 1)
        elif letter == "d":
            self._go(max(1, first) - 1)
        elif letter in "Hf":
            self._go(max(1, first) - 1, max(1, second) - 1)
        elif letter == "r":
            self._set_region(first, second)
        elif letter == "s":
            self._saved = self._row, self._column
        else:
            self._go(*self._saved)

    def _scroll(self, letter: str, count: int) -> None:
        if letter in "ST":
            self._move_lines(self._top, count if letter == "S" else -count)
        elif self._top <= self._row <= self._bottom:
            self._move_lines(self._row, count if letter == "M" else -count)

    def _mode(self, parameters: str, on: bool) -> None:
        modes = {"?" + mode for mode in parameters[1:].split(";")} if parameters[:1] == "?" else set()
        if "?1" in modes:
            self.application_keys = on
        if modes & _ALTERNATE and on != self._alternate:
            self._leave_lines()
            self._alternate = self._addressed = on

    def _leave_lines(self) -> None:
        """Let the lines of a screen scroll away, and begin with an empty one."""
        text = self.text()
        self._gone.append(text if not text or text.endswith("\n") else text + "\n")
        self._lines, self._above = [ScreenLine([])], []
        self._row = self._column = 0
        self._top, self._bottom = 0, ROWS - 1

    def _edit(self, letter: str, first: int, column: int) -> None:
        line = self._lines[self._row]
        if letter == "J":
            self._erase_lines(first, column)
        elif letter == "K":
            line.erase(0 if first else column, column + 1 if first == 1 else len(line.cells))
        elif letter == "X":
            line.erase(column, column + max(1, first))
        elif column < len(line.cells):
            cells = line.change(column)
            separate(cells, column)
            if letter == "P":
                separate(cells, column + max(1, first))
                del cells[column : column + max(1, first)]
            else:
                cells[column:column] = [" "] * min(max(1, first), self._width)
                del cells[self._width :]

    def _erase_lines(self, extent: int, column: int) -> None:
        """From the cursor on (0), up to it (1), or all (2); the lines that scrolled away stay (3)."""
        if extent == 2 or (extent, self._row, column) == (0, 0, 0):
            self._clear()
        elif extent == 0:
            self._lines[self._row].erase(column, len(self._lines[self._row].cells))
            del self._lines[self._row + 1 :]
        elif extent == 1:
            self._lines[: self._row] = [ScreenLine([], 0) for _ in range(self._row)]
            self._lines[self._row].erase(0, column + 1)

    def _clear(self) -> None:
        self._lines = [ScreenLine([], 0) for _ in range(self._row + 1)]
        self._addressed = True

    def _set_region(self, first: int, last: int) -> None:
        top, bottom = max(1, first) - 1, last or ROWS
        if top < bottom - 1 < ROWS:
            self._top, self._bottom = top, bottom - 1
            self._go(0, 0)

    def _line_feed(self) -> None:
        """The terminal changes no output (see `Terminal`), so that programs rely on the line feed to begin a line."""
        self._column = 0
        if self._row == self._bottom:
            self._move_lines(self._top, 1)
        else:
            self._go(self._row + 1)

    def _move_lines(self, top: int, count: int) -> None:
        """Move the lines from `top` to the end of the region up by so many, or down for a negative count."""
        lines, bottom = self._lines, self._bottom
        lines += [ScreenLine([]) for _ in range(bottom + 1 - len(lines) if bottom < ROWS - 1 or count < 0 else 0)]
        size = min(abs(count), bottom + 1 - top)
        if count < 0:
            del lines[bottom + 1 - size : bottom + 1]
            lines[top:top] = [ScreenLine([]) for _ in range(size)]
            return
        moved = lines[top : top + size]
        del lines[top : top + size]
        if bottom < ROWS - 1:
            lines[bottom + 1 - size : bottom + 1 - size] = [ScreenLine([]) for _ in range(size)]
        lines += [ScreenLine([]) for _ in range(self._row + 1 - len(lines))]
        if self._addressed and top == 0:
            self._above += [line for line in moved if self._alternate or line.news(0) is None]
            del self._above[:-ROWS]
        if (top, self._alternate) == (0, False):
            for line, below in zip(moved, [*moved[1:], lines[0]]):
                text = line.news(0)
                self._gone += [] if text is None else [text] if below.joined else [text, "\n"]

    def _go(self, row: int | None = None, column: int | None = None) -> None:
        if row is not None:
            self._row = max(0, min(row, ROWS - 1))
            self._lines += [ScreenLine([]) for _ in range(self._row + 1 - len(self._lines))]
        if column is not None:
            end = 0 if self._addressed else min(len(self._lines[self._row].cells), LINE_LIMIT - 1)
            self._column = max(0, min(column, max(end, COLUMNS - 1)))


def _unless_overwritten(frame: re.Match[str]) -> str:
    """Nothing for a line that the next one overwrites, so that only the last of many is shown."""
    return "" if len(frame[1]) <= min(len(frame[2]), COLUMNS) else frame[0]
