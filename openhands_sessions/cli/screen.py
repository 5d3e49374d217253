"""Where a chat is written: colours, a prompt and a moving sign on a terminal, plain lines elsewhere."""

import asyncio
import os
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TextIO

from rich.console import Console
from rich.segment import Segment, Segments
from rich.spinner import Spinner

FRAME_SECONDS = 0.1
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def clean(text: str) -> str:
    """The text without what would steer the reader's terminal: a command's output is written by strangers."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n"))


class Screen:
    """Knows whether it stands at the beginning of a line, and what must be wiped before the next word."""

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
        """Go on where the last word ended."""
        text = clean(text)
        if not text:
            return
        self._wipe()
        self._print(text, style)
        self._at_start = text.endswith("\n")

    def line(self, text: str = "", style: str = "") -> None:
        """A line of its own."""
        self.finish_line()
        self.write(f"{text}\n", style)

    def finish_line(self) -> None:
        if not self._at_start:
            self.write("\n")

    def problem(self, text: str) -> None:
        """An error: among the rest on a terminal, on standard error where the screen is plain."""
        if self.plain:
            self.finish_line()
            print(f"error: {clean(text)}", file=self._errors, flush=True)
        else:
            self.line(f"error: {text}", "red")

    def prompt(self, text: str) -> None:
        """Ask for input; what is written meanwhile takes the prompt's place. Nothing where the screen is plain."""
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
        """Show that something is under way; None for no more."""
        if label is not None and self._busy is None:
            self._since = time.monotonic()
        self._busy = label
        if label is None:
            self._wipe_sign()

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[None]:
        """Keeps the sign moving."""
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
