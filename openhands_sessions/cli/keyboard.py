"""Input without a line editor: lines of a terminal that knows no codes, and a whole pipe or file."""

import asyncio
import codecs
import errno
import os
import select
import sys
from collections.abc import AsyncGenerator
from typing import Protocol

from openhands_sessions.core.errors import BadInput

STDIN = 0
PIECE_BYTES = 64 * 1024
LONGEST_INPUT = 15 << 20
"""Bytes of a whole input. A server takes messages of 16 MiB, unless it is set otherwise."""
PATIENCE = 2.0
"""Seconds of silence after which a person is told what is waited for."""


class Keyboard(Protocol):
    """What a user says, one message after another."""

    def messages(self) -> AsyncGenerator[str, None]:
        """Each message, until the input ends. Close it."""

    def clear(self) -> bool:
        """Forget what is typed and not sent; False where there is nothing."""


class OneMessage:
    """An input that is known."""

    def __init__(self, text: str) -> None:
        self._text = text

    async def messages(self) -> AsyncGenerator[str, None]:
        yield self._text

    def clear(self) -> bool:
        return False


class LineKeyboard:
    """Lines of a terminal, each a message, without blocking the event loop or reading ahead."""

    def __init__(self, descriptor: int = STDIN) -> None:
        self._descriptor = descriptor
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""

    def clear(self) -> bool:
        return False

    async def messages(self) -> AsyncGenerator[str, None]:
        """Each line without its line break, until the input ends."""
        while piece := await self._piece():
            *lines, self._held = (self._held + self._decoder.decode(piece)).split("\n")
            for line in lines:
                yield line.rstrip("\r")
        if self._held:
            yield self._held

    async def _piece(self) -> bytes:
        await self._readable()
        try:
            return os.read(self._descriptor, PIECE_BYTES)
        except OSError as error:
            if error.errno == errno.EIO:  # the terminal is gone
                return b""
            raise

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self._descriptor, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self._descriptor)


def whole_input(descriptor: int = STDIN) -> str:
    """All that a pipe or file holds, without the line ends at its end; waits for them. Raises BadInput."""
    if not select.select([descriptor], [], [], PATIENCE)[0]:
        print("Reading standard input until it ends; add </dev/null if there is no input.", file=sys.stderr, flush=True)
    content = bytearray()
    while piece := os.read(descriptor, PIECE_BYTES):
        content += piece
        if len(content) > LONGEST_INPUT:
            raise BadInput("the input", f"must have at most {LONGEST_INPUT} bytes")
    return content.decode(errors="replace").rstrip("\r\n")
