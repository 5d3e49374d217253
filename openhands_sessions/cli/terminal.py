"""The terminal of a chat: output with colours, prompt and spinner, plain lines without one; input line by line."""

import asyncio
import codecs
import errno
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TextIO

from rich.console import Console
from rich.segment import Segment, Segments
from rich.spinner import Spinner

from openhands_sessions.cli.output import clean

FRAME_SECONDS = 0.1
PIECE_BYTES = 64 * 1024
LONGEST_LINE = 8 * 1024 * 1024
"""Characters after which a line is split."""


class Screen:
    """Tracks the cursor, and what to erase before the next output."""

    def __init__(self, file: TextIO | None = None, *, plain: bool | None = None, errors: TextIO | None = None) -> None:
        out = file or sys.stdout
        self._errors = errors or sys.stderr
        self.plain = not (out.isatty() and "NO_COLOR" not in os.environ) if plain is None else plain
        self._console = Console(
            file=out, force_terminal=not self.plain, no_color=self.plain, highlight=False, markup=False, emoji=False
        )
        self._at_start = True
        self._prompt = ""
        self._busy: str | None = None
        self._since = 0.0
        self._drawn = False
        self._spinner = Spinner("dots")

    def write(self, text: str, style: str = "") -> None:
        """Continue after the last output."""
        text = clean(text)
        if not text:
            return
        self._wipe()
        self._print(text, style)
        self._at_start = text.endswith("\n")

    def line(self, text: str = "", style: str = "") -> None:
        """Write a separate line."""
        self.finish_line()
        self.write(f"{text}\n", style)

    def finish_line(self) -> None:
        if not self._at_start:
            self.write("\n")

    def problem(self, text: str) -> None:
        """An error: in red on a terminal, on standard error if the screen is plain."""
        if self.plain:
            self.finish_line()
            print(f"error: {clean(text)}", file=self._errors, flush=True)
        else:
            self.line(f"error: {text}", "red")

    def prompt(self, text: str) -> None:
        """Ask for input; later output replaces the prompt. Does nothing if the screen is plain."""
        self.finish_line()
        if not self.plain and self._prompt != text:
            self._wipe()
            self._prompt = text
            self._print(text, "bold")

    def entered(self) -> None:
        """The user has ended the prompt's line."""
        self._prompt = ""

    @property
    def is_busy(self) -> bool:
        return self._busy is not None

    def busy(self, label: str | None) -> None:
        """Show the spinner with this label; None hides it."""
        if label is not None and self._busy is None:
            self._since = time.monotonic()
        self._busy = label
        if label is None:
            self._wipe_sign()

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[None]:
        """Animates the spinner for the length of the block."""
        if self.plain:
            yield
            return
        moving = asyncio.create_task(self._move(), name="screen")
        try:
            yield
        finally:
            moving.cancel()
            await asyncio.wait([moving])
            self._wipe_sign()

    async def _move(self) -> None:
        while True:
            await asyncio.sleep(FRAME_SECONDS)
            if self._busy is not None and self._at_start and not self._prompt:
                self._draw(self._busy)

    def _draw(self, label: str) -> None:
        now = time.monotonic()
        sign = self._spinner.render(now)
        shown = f"{sign} {label} {now - self._since:.0f} s"[: max(1, self._console.width - 1)]
        self._wipe_sign()
        self._print(shown, "dim")
        self._drawn = True

    def _wipe(self) -> None:
        self._wipe_sign()
        if self._prompt:
            self._prompt = ""
            self._raw("\r\x1b[K")

    def _wipe_sign(self) -> None:
        if self._drawn:
            self._drawn = False
            self._raw("\r\x1b[K")

    def _print(self, text: str, style: str) -> None:
        # Segments go out as they are: a Text would be wrapped, and have its tabs counted from where a piece begins.
        segment = Segment(text, self._console.get_style(style) if style else None)
        self._console.print(Segments([segment]), end="", soft_wrap=True)
        self._console.file.flush()

    def _raw(self, codes: str) -> None:
        self._console.file.write(codes)
        self._console.file.flush()


class Keyboard:
    """Lines of a terminal, pipe or file for one reader, without blocking the event loop or reading ahead."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""
        self._pollable = True

    async def lines(self) -> AsyncIterator[str]:
        """Each line without its line break, until the input ends."""
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
                self._pollable = False  # a regular file, which never blocks, or a closed descriptor
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
