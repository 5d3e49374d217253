"""The output of a command: its head and tail kept for the outcome, and chunks of it for clients that follow it."""

from __future__ import annotations

import asyncio
import codecs
from typing import Any

PENDING = 32 << 10


class OutputCapture:
    """The first `head` and the last `tail` bytes of an output of any length, in that much memory."""

    def __init__(self, head: int, tail: int) -> None:
        self.total = 0
        self._head_size = head
        self._tail_size = tail
        self._head = bytearray()
        self._tail = bytearray()

    def add(self, data: bytes) -> None:
        self.total += len(data)
        room = self._head_size - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        if len(self._tail) > 2 * self._tail_size:  # cutting at each call would copy the tail each time
            del self._tail[: len(self._tail) - self._tail_size]

    def since(self, offset: int) -> bytes:
        """The end of the output from `offset` (in bytes of the whole) on, or from later on where less is kept; at most
        PENDING bytes."""
        whole = len(self._head) + len(self._tail) == self.total
        kept = bytes(self._head + self._tail if whole else self._tail)
        return kept[-min(PENDING, self.total - offset) :] if offset < self.total else b""

    def text(self) -> tuple[str, int]:
        """The head and the tail, with a line between them that counts the omitted bytes; and that count."""
        tail = bytes(self._tail[-self._tail_size :]) if self._tail_size else b""
        omitted = self.total - len(self._head) - len(tail)
        if not omitted:
            return bytes(self._head + tail).decode("utf-8", "replace"), 0
        head = codecs.getincrementaldecoder("utf-8")("replace").decode(bytes(self._head))
        seam = "" if head.endswith("\n") or not head else "\n"
        note = f"{seam}[... {omitted} bytes left out ...]\n"
        return head + note + skip_broken(tail).decode("utf-8", "replace"), omitted


def skip_broken(data: bytes) -> bytes:
    """Without the end of a character whose beginning was cut off."""
    start = 0
    while start < min(3, len(data)) and data[start] & 0xC0 == 0x80:
        start += 1
    return data[start:]


class OutputListener:
    """One client's position in the output of a running command. It begins at `offset`, or later where less is kept.
    What the client does not fetch in time is dropped, oldest first, and the offsets (in bytes of the whole output) show
    the gap: a slow client costs PENDING bytes."""

    def __init__(self, capture: OutputCapture, offset: int = 0) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._wait_for_event = asyncio.Event()
        self._ended: asyncio.Future[None] = asyncio.get_event_loop().create_future()
        self._record_start(capture, offset)

    @property
    def ended(self) -> bool:
        return self._ended.done()

    def add(self, data: bytes) -> None:
        self._pending += data
        self._end += len(data)
        excess = len(self._pending) - PENDING
        if excess > 0:
            del self._pending[:excess]
            self._start = self._end - PENDING
            self._torn = True
            self._decoder.reset()
        self._wait_for_event.set()

    def restart_with(self, capture: OutputCapture) -> None:
        """Begin with another output, before any of this one was added."""
        self._record_start(capture, 0)

    def end(self) -> None:
        """Nothing is added any more."""
        if not self._ended.done():
            self._ended.set_result(None)
        self._wait_for_event.set()

    def take(self) -> dict[str, Any] | None:
        """The next chunk, None where there is none."""
        self._wait_for_event.clear()
        data = bytes(self._pending)
        self._pending.clear()
        text = self._decoder.decode(skip_broken(data) if self._torn else data)
        if not text:
            return None
        self._torn = False
        start, self._start = self._start, self._end - len(self._decoder.getstate()[0])
        return {"from": start, "to": self._start, "text": text}

    def _record_start(self, capture: OutputCapture, offset: int) -> None:
        self._pending = bytearray(capture.since(offset))
        self._end = capture.total
        self._start = self._end - len(self._pending)
        self._torn = self._start != offset
        if self._pending:
            self._wait_for_event.set()

    async def wait(self, pause: float) -> None:
        """Wait for a chunk or the end; chunks that come within `pause` seconds are joined."""
        await asyncio.wait({self._ended}, timeout=pause)
        if not self._ended.done():
            await self._wait_for_event.wait()
