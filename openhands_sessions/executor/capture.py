"""The output of an action: its last bytes as they came, for clients, and what a terminal shows of it, for the model."""

from __future__ import annotations

import codecs
import copy
import re

from .masking import TextMasker
from .screen import TerminalScreen
from .terminal import ROWS

PENDING = 32 << 10
_BULK = 1024
"""Bytes without a sequence after which a screen is left: its program is assumed not to come back to it."""
_COLOURS = re.compile(rb"\x1b\[[0-9;:]*m")
_CURSOR_KEY = re.compile(r"\x1b\[(?=[ABCDHF])")
_INVISIBLE = dict.fromkeys([*range(9), *range(14, 32), 127])
"""Control characters that a terminal does not show."""
NO_SECRETS = TextMasker()


class Kept:
    """The first `head` and the last `tail` bytes of a text of any length, in that much memory."""

    def __init__(self, head: int, tail: int) -> None:
        self.total = 0
        self._head_size = head
        self._tail_size = tail
        self._head = bytearray()
        self._tail = bytearray()

    def copy(self) -> Kept:
        other = copy.copy(self)
        other._head, other._tail = self._head[:], self._tail[:]
        return other

    def add(self, data: bytes) -> None:
        self.total += len(data)
        room = self._head_size - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        if len(self._tail) > 2 * self._tail_size:  # cutting at each call would copy the tail each time
            del self._tail[: len(self._tail) - self._tail_size]

    def last_lines(self, floor: int) -> bytes:
        """At most ROWS lines and PENDING bytes of its end, from the offset `floor` on."""
        whole = len(self._head) + len(self._tail) == self.total
        end = bytes(self._head[-PENDING:] + self._tail if whole else self._tail)[-PENDING:]
        end = end[max(0, len(end) - self.total + floor) :]
        start = len(end)
        for _ in range(ROWS):
            start = end.rfind(b"\n", 0, start)
            if start < 0:
                return skip_broken(end)
        return end[start + 1 :]

    def remove(self, size: int) -> None:
        """Remove its last bytes, which are kept."""
        self.total -= size
        from_head = max(0, size - len(self._tail))
        del self._tail[max(0, len(self._tail) - size) :]
        del self._head[len(self._head) - from_head :]

    def text(self, masker: TextMasker = NO_SECRETS) -> tuple[str, int]:
        """The head and the tail, with a line between them that counts the omitted bytes; and that count. Masked also
        where the cut parts a secret."""
        tail = bytes(self._tail[-self._tail_size :]) if self._tail_size else b""
        omitted = self.total - len(self._head) - len(tail)
        if not omitted:
            return masker.text(bytes(self._head + tail).decode("utf-8", "replace")), 0
        head = masker.beginning(codecs.getincrementaldecoder("utf-8")("replace").decode(bytes(self._head)))
        seam = "" if head.endswith("\n") or not head else "\n"
        note = f"{seam}[... {omitted} bytes left out ...]\n"
        return head + note + masker.rest(skip_broken(tail).decode("utf-8", "replace")), omitted


class OutputCapture:
    """An output of any length in limited memory. What only adds to the end is kept as it is; a screen is in use while
    sequences move the cursor. `size` is of the head and the tail that are kept, in bytes."""

    def __init__(self, head: int, tail: int) -> None:
        self.total = 0
        self.application_keys = False
        self._size = head, tail
        self._recent = bytearray()
        self._kept = Kept(head, tail)
        self._told = ""
        self._floor = 0
        """Where in the kept text the lines begin that may still be on the screen."""
        self._screen: TerminalScreen | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def next(self) -> OutputCapture:
        """The capture of the same terminal for the next action."""
        other = OutputCapture(*self._size)
        other.application_keys = self.application_keys
        if self._screen is not None:
            other._screen = self._screen.told()
            other._decoder = self._decoder
        else:
            lines = (self._told + self._kept.last_lines(self._floor).decode("utf-8", "replace")).split("\n")
            other._told = "\n".join(lines[-ROWS:])
        return other

    def add(self, data: bytes) -> None:
        self.total += len(data)
        self._recent += data[-PENDING:]
        if len(self._recent) > 2 * PENDING:
            del self._recent[:-PENDING]
        if b"\x1b" in data:
            data = _COLOURS.sub(b"", data)
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        plain = not (b"\x1b" in data or b"\r" in data or b"\b" in data)
        if self._screen is not None and plain and len(data) > _BULK and self._screen.settled():
            self._leave_screen(self._screen)
        if self._screen is None and plain:
            self._kept.add(data)
        else:
            self._show(data)

    def keys(self, text: str) -> str:
        """Input as its program expects it: some keys have two forms."""
        return _CURSOR_KEY.sub("\x1bO", text) if self.application_keys else text

    def since(self, offset: int) -> bytes:
        """The end of the output from `offset` (in bytes of the whole) on, or from later on where less is kept; at most
        PENDING bytes."""
        return bytes(self._recent[-min(PENDING, self.total - offset) :]) if offset < self.total else b""

    def text(self, masker: TextMasker = NO_SECRETS) -> tuple[str, int]:
        """What a terminal shows of it, masked: the head and the tail, with a line between them that counts the omitted
        bytes; and that count."""
        kept = self._kept
        if self._screen is not None:
            kept = kept.copy()
            kept.add(self._screen.text().encode("utf-8", "replace"))
        text, omitted = kept.text(masker)
        return masker.text(text.translate(_INVISIBLE)), omitted

    def _show(self, data: bytes) -> None:
        if self._screen is None:
            lines = self._kept.last_lines(self._floor)
            self._decoder.reset()
            complete = self._floor + len(lines) == self._kept.total
            self._screen = TerminalScreen(self._told if complete else "", self._decoder.decode(lines))
            self._screen.application_keys = self.application_keys
            self._kept.remove(len(lines))
        gone = self._screen.feed(self._decoder.decode(data))
        self._kept.add(gone.encode("utf-8", "replace"))
        self.application_keys = self._screen.application_keys

    def _leave_screen(self, screen: TerminalScreen) -> None:
        self._told = screen.context()
        self._floor = self._kept.total
        self._kept.add(screen.text().encode("utf-8", "replace") + self._decoder.getstate()[0])
        self._screen = None


def skip_broken(data: bytes) -> bytes:
    """Without the end of a character whose beginning was cut off."""
    start = 0
    while start < min(3, len(data)) and data[start] & 0xC0 == 0x80:
        start += 1
    return data[start:]
