"""Lines from standard input, without blocking the event loop and without reading ahead of who takes them."""

import asyncio
import codecs
import errno
import os
from collections.abc import AsyncIterator

PIECE_BYTES = 64 * 1024
LONGEST_LINE = 8 * 1024 * 1024
"""Characters after which a line is taken as ended."""


class Keyboard:
    """Reads one descriptor: a terminal, a pipe or a file. One reader."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""
        self._pollable = True

    async def lines(self) -> AsyncIterator[str]:
        """Each line without its end; ends with the input."""
        while piece := await self._piece():
            *lines, self._held = (self._held + self._decoder.decode(piece)).split("\n")
            for line in lines:
                yield line.rstrip("\r")
            if len(self._held) > LONGEST_LINE:
                yield self._held
                self._held = ""
        if self._held:
            yield self._held

    async def _piece(self) -> bytes:
        if self._pollable:
            try:
                await self._readable()
            except OSError:
                self._pollable = False  # a regular file, which never lets a reader wait, or nothing at all
        try:
            return os.read(self._descriptor, PIECE_BYTES)
        except OSError as error:
            if error.errno in (errno.EIO, errno.EBADF):  # the terminal is gone, or there never was an input
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
