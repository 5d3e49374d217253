"""The pseudo-terminal of the shell and its commands, and the marks that the shell prints into their output."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
import termios
from typing import Any, Callable

COLUMNS, ROWS = 160, 50
_READ = 1 << 16
_READS_PER_TURN = 32
_MARK_LIMIT = 128


class MarkParser:
    """Removes marks from a stream of bytes. A mark is ESC, `_`, the nonce, `:`, a text and NUL. The nonce is in no
    environment, argument or file, so commands cannot print marks."""

    def __init__(self, on_data: Callable[[bytes], None], on_mark: Callable[[str], None]) -> None:
        self.nonce = os.urandom(16).hex()
        self._prefix = b"\x1b_" + self.nonce.encode() + b":"
        self._on_data = on_data
        self._on_mark = on_mark
        self._held = b""

    def encode(self, text: str) -> bytes:
        return self._prefix + text.encode() + b"\0"

    def feed(self, data: bytes) -> None:
        data, self._held = self._held + data, b""
        position = 0
        while True:
            start = data.find(self._prefix, position)
            if start < 0:
                start = self._beginning(data, position)
                break
            end = data.find(b"\0", start, start + _MARK_LIMIT)
            if end < 0:
                break
            self._give(data[position:start])
            self._on_mark(data[start + len(self._prefix) : end].decode("utf-8", "replace"))
            position = end + 1
        if len(data) - start > _MARK_LIMIT:
            start = len(data)
        self._give(data[position:start])
        self._held = data[start:]

    def _beginning(self, data: bytes, position: int) -> int:
        """Where an incomplete mark may begin."""
        start = data.rfind(b"\x1b", max(position, len(data) - len(self._prefix) + 1))
        return start if start >= 0 and self._prefix.startswith(data[start:]) else len(data)

    def _give(self, data: bytes) -> None:
        if data:
            self._on_data(data)


class Terminal:
    """A pseudo-terminal, held open at both ends so that it outlives the shells that use it one after another."""

    def __init__(self, on_data: Callable[[bytes], None], on_mark: Callable[[str], None]) -> None:
        self.marks = MarkParser(on_data, on_mark)
        self._controller, self.tty = os.openpty()
        os.set_blocking(self._controller, False)
        os.set_blocking(self.tty, False)
        fcntl.ioctl(self.tty, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.device = os.fstat(self.tty).st_rdev
        self._modes = _plain_modes(self.tty)
        self.reset()
        asyncio.get_event_loop().add_reader(self._controller, self._readable)

    def reset(self) -> None:
        """Undo what the last command did to the modes, and drop input that it left unread."""
        termios.tcsetattr(self.tty, termios.TCSANOW, self._modes)
        termios.tcflush(self.tty, termios.TCIFLUSH)

    def foreground(self) -> int:
        """The process group that Ctrl-C would reach; 0 for none."""
        with contextlib.suppress(OSError):
            return os.tcgetpgrp(self._controller)
        return 0

    def interrupt_key(self) -> str:
        """The key that means an interrupt now, empty where it is one like any other. A caller that types it sends the
        signal instead: the terminal would send it later, at an unknown moment."""
        modes = termios.tcgetattr(self.tty)
        key: bytes = modes[6][termios.VINTR]
        return key.decode("latin-1") if modes[3] & termios.ISIG and key != b"\0" else ""

    def unread(self) -> bool:
        """Whether a program that reads would get something."""
        count: bytes = fcntl.ioctl(self.tty, termios.FIONREAD, b"\0" * 4)
        return any(count)

    async def type(self, text: str) -> bool:
        """Type something; False where it is not read within a second. For a program that has the terminal give it each
        key as it is, a line ends with the code of the Enter key."""
        if not termios.tcgetattr(self.tty)[0] & termios.ICRNL:
            text = text.replace("\n", "\r")
        return await _write(self._controller, text.encode("utf-8", "replace"))

    async def mark(self, text: str) -> bool:
        """Print a mark after all output so far."""
        return await _write(self.tty, self.marks.encode(text))

    def close(self) -> None:
        asyncio.get_event_loop().remove_reader(self._controller)
        os.close(self._controller)
        os.close(self.tty)

    def _readable(self) -> None:
        pieces = []
        with contextlib.suppress(BlockingIOError):
            for _ in range(_READS_PER_TURN):
                pieces.append(os.read(self._controller, _READ))
        self.marks.feed(b"".join(pieces))


async def _write(descriptor: int, data: bytes) -> bool:
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            if not await _writable(descriptor, 1.0):
                return False
    return True


async def _writable(descriptor: int, limit: float) -> bool:
    loop = asyncio.get_event_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_writer(descriptor, lambda: None if ready.done() else ready.set_result(None))
    try:
        await asyncio.wait({ready}, timeout=limit)
    finally:
        loop.remove_writer(descriptor)
    return ready.done()


def _plain_modes(descriptor: int) -> list[Any]:
    """No echo, no changes to the output, no flow control; Ctrl-C and line editing work."""
    modes = termios.tcgetattr(descriptor)
    modes[0] &= ~termios.IXON
    modes[1] &= ~termios.OPOST
    modes[3] &= ~(termios.ECHO | termios.ECHOCTL)
    return modes
