"""The lines between an owner and a program: in pieces, as fast as the reader reads, whole up to a limit."""

from __future__ import annotations

import asyncio
import codecs
import collections
import fcntl
import os
import struct
import termios
from typing import Iterator, NamedTuple

from .frames import Message, RequestRefused, Send

LONGEST_LINE = 16 << 20
"""In bytes. Of a longer line that a program prints, the middle is left out; a longer one is not written to it."""
WINDOW = 1 << 20
"""Characters under way to an owner that has not read them yet."""
LONGEST_PIECE = 256 << 10
"""Characters of one request or piece: however they are escaped, they fit into a frame."""
_ENDLESS = 256 << 20
_TAIL = 1 << 10
_COST = 64
_LINES_KEPT = 4096
"""More do not fit into a pipe unread, but for very short ones."""


class EndlessLine(Exception):
    """A program prints a line that does not end."""


def piece_cost(text: str) -> int:
    """What a piece takes of the window: not only its characters, because it may have none."""
    return len(text) + _COST


class LinePiece(NamedTuple):
    """A piece of a line for a program: it begins `at` a character, and there may be `more`. `key` names the line."""

    text: str
    at: int = 0
    more: bool = False
    key: str = ""


class LineCutter:
    """Cuts output into pieces: `part`s of a line, and the `line` that is its rest. Where the line is too long, the
    rest is the last kilobyte, and is marked as `cut`."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._size = 0
        self._tail = b""

    def pieces(self, printed: bytes) -> Iterator[Message]:
        """Raises EndlessLine."""
        *ended, rest = printed.split(b"\n")
        for content in ended:
            yield self._ended(content)
        if rest:
            yield from self._part(rest)

    def rest(self) -> Iterator[Message]:
        """The last line, where it has no end."""
        if self._size:
            yield self._ended(b"")

    def _part(self, content: bytes) -> Iterator[Message]:
        if self._grown(content):
            yield {"part": self._decoder.decode(content)}

    def _ended(self, content: bytes) -> Message:
        if self._grown(content):
            piece: Message = {"line": self._decoder.decode(content, True)}
        else:
            piece = {"line": self._tail.decode("utf-8", "replace"), "cut": True}
        self._decoder.reset()
        self._size, self._tail = 0, b""
        return piece

    def _grown(self, content: bytes) -> bool:
        """Whether the line is still short enough to be sent."""
        self._size += len(content)
        if self._size > _ENDLESS:
            raise EndlessLine
        self._tail = (self._tail + content[-_TAIL:])[-_TAIL:]
        return self._size <= LONGEST_LINE


class ProgramOutput:
    """Sends pieces for as long as the owner has room for them; None where it does not say how much it has."""

    def __init__(self, send: Send, window: int | None) -> None:
        self._send = send
        self._window = window
        self._room = window or 0
        self._granted = asyncio.Event()

    async def forward(self, reader: asyncio.StreamReader, chunk: int) -> None:
        """Send all that is printed, until it ends or a line does not."""
        cutter = LineCutter()
        try:
            while True:
                printed = await reader.read(chunk)
                for piece in cutter.pieces(printed) if printed else cutter.rest():
                    await self._forward(piece)
                if not printed:
                    return
        except EndlessLine:
            return

    def grant(self, room: int) -> None:
        """The owner has read so much."""
        self._room = min(self._window or 0, self._room + room)
        self._granted.set()

    async def _forward(self, piece: Message) -> None:
        while self._window is not None and self._room <= 0:
            self._granted.clear()
            await self._granted.wait()
        self._room -= piece_cost(piece["line"] if "line" in piece else piece["part"])
        await self._send({"piece": piece})


class ProgramInput:
    """The pipe to a program's input. Its reading end is kept open here too: only so can be told, when the program has
    ended, what it never read."""

    def __init__(self) -> None:
        self.reading_end, self._writing_end = os.pipe()
        os.set_blocking(self._writing_end, False)
        self._writing = asyncio.Lock()
        self._begun = ""
        self._left = b""
        self._written = 0
        self._lines: collections.deque[tuple[int, str]] = collections.deque(maxlen=_LINES_KEPT)
        self._closed = asyncio.Event()
        self._writable = asyncio.Event()

    async def add(self, piece: LinePiece) -> bool:
        """Take the next piece of a line, and write the line with its last piece. False where the program has ended
        without having got the whole line."""
        if piece.at == 0:
            self._begun = ""
        if piece.at != len(self._begun):
            raise RequestRefused("bad_request", "a piece of the line is missing")
        if piece.at + len(piece.text) > LONGEST_LINE:
            raise RequestRefused("too_large", f"a line may have {LONGEST_LINE >> 20} MiB")
        self._begun += piece.text
        if piece.more:
            return not self._closed.is_set()
        line, self._begun = self._begun, ""
        async with self._writing:
            if not await self._write():  # what a request that was withdrawn has left
                return False
            self._left = line.encode("utf-8", "replace") + b"\n"
            self._lines.append((self._written + len(self._left), piece.key))
            return await self._write()

    def unread(self) -> list[str]:
        """The keys of the lines that the program has not read to their end."""
        left = struct.unpack("i", fcntl.ioctl(self.reading_end, termios.FIONREAD, bytes(4)))[0]
        return [key for end, key in self._lines if key and end > self._written - left]

    def close(self) -> None:
        self._closed.set()
        self._writable.set()
        asyncio.get_event_loop().remove_writer(self._writing_end)
        os.close(self._writing_end)
        os.close(self.reading_end)

    async def _write(self) -> bool:
        while self._left and not self._closed.is_set():
            try:
                written = os.write(self._writing_end, self._left)
            except BlockingIOError:
                await self._wait()
            except OSError:
                return False
            else:
                self._written += written
                self._left = self._left[written:]
        return not self._left

    async def _wait(self) -> None:
        self._writable.clear()
        loop = asyncio.get_event_loop()
        loop.add_writer(self._writing_end, self._writable.set)
        try:
            await self._writable.wait()
        finally:
            if not self._closed.is_set():
                loop.remove_writer(self._writing_end)
