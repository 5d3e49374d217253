"""A chat on a terminal: colours, Markdown, and lines at the bottom that change until they are ready."""

import asyncio
import io
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol, TextIO

from rich.console import Console
from rich.segment import Segment, Segments
from rich.spinner import Spinner
from rich.text import Text

from openhands_sessions.cli.markdown import MarkdownStream, lines_of, rendered
from openhands_sessions.cli.output import clean

FRAME_SECONDS = 0.1
DRAW_SECONDS = 0.05


class Surface(Protocol):
    """The end of a terminal's output: lines that are ready go above, and what may still change is below them."""

    bottom: Callable[[], str]
    """Gives what is below, as text with colours; may be called often."""

    def above(self, text: str) -> None:
        """Write whole lines above what is below."""

    def changed(self) -> None:
        """Draw what is below again, soon."""

    def ask(self, prompt: str | None) -> None:
        """What asks for input, below all; None for the usual."""


class OutputEnd:
    """The surface of a terminal where nothing is typed."""

    def __init__(self, out: TextIO) -> None:
        self.bottom: Callable[[], str] = str
        self._out = out
        self._lines = 0
        self._timer: asyncio.TimerHandle | None = None

    def above(self, text: str) -> None:
        self._put(text)
        self._lines = 0
        self.changed()

    def changed(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DRAW_SECONDS, self._draw)

    def ask(self, prompt: str | None) -> None:
        pass

    def _draw(self) -> None:
        self._timer = None
        text = self.bottom()
        if text or self._lines:
            self._put(text)
            self._lines = text.count("\n") + 1 if text else 0

    def _put(self, text: str) -> None:
        up = f"\x1b[{self._lines - 1}A" if self._lines > 1 else ""
        self._out.write(f"\r{up}\x1b[J{text}" if self._lines else text)
        self._out.flush()


class StyledScreen:
    """A Screen on a surface. A line goes above when it has ended, a block of Markdown when another one begins."""

    def __init__(self, surface: Surface, *, out: TextIO | None = None, errors: TextIO | None = None) -> None:
        self._surface = surface
        self._out = out or sys.stdout
        self._errors = errors or sys.stderr
        self._console = Console(
            file=self._out,
            force_terminal=True,
            no_color="NO_COLOR" in os.environ,
            highlight=False,
            markup=False,
            emoji=False,
        )
        self._line: list[tuple[str, str]] = []
        self._reply = MarkdownStream()
        self._speaking = False
        self._label: str | None = None
        self._working = asyncio.Event()
        self._since = 0.0
        self._spinner = Spinner("dots")
        self._bottom: str | None = None
        surface.bottom = self._below

    def write(self, text: str, style: str = "") -> None:
        self.said()
        done, line_end, rest = clean(text).rpartition("\n")
        if line_end:
            self._line.append((done + line_end, style))
            self._ready()
        if rest:
            self._line.append((rest, style))
        self._changed()

    def line(self, text: str = "", style: str = "") -> None:
        self.finish_line()
        self.write(f"{text}\n", style)

    def finish_line(self) -> None:
        self.said()
        if self._line:
            self._line.append(("\n", ""))
            self._ready()

    def say(self, text: str) -> None:
        if not self._speaking:
            self.finish_line()
            self._speaking = True
        self._show_blocks(self._reply.feed(clean(text)))
        self._changed()

    def said(self) -> None:
        if self._speaking:
            self._speaking = False
            self._show_blocks(self._reply.end())

    def problem(self, text: str) -> None:
        self.line(f"error: {text}", "red")

    def note(self, text: str) -> None:
        if self._errors.isatty():
            self.line(text, "dim")
        else:
            print(clean(text), file=self._errors, flush=True)

    def detail(self, text: str) -> None:
        self.line(text, "dim")

    def prompt(self, text: str | None) -> None:
        self._surface.ask(text)

    def entered(self, text: str) -> None:
        first, *more = text.split("\n")
        self.line("\n".join([f"> {first}", *(f"  {line}" for line in more)]), "bold")

    @property
    def is_busy(self) -> bool:
        return self._label is not None

    def busy(self, label: str | None) -> None:
        if label is not None and self._label is None:
            self._since = time.monotonic()
        self._label = label
        if label is None:
            self._working.clear()
        else:
            self._working.set()
        self._changed()

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[None]:
        moving = asyncio.create_task(self._move(), name="screen")
        try:
            yield
        finally:
            moving.cancel()
            await asyncio.wait([moving])
            self.busy(None)
            self.finish_line()
            self._surface.above("")

    async def _move(self) -> None:
        while await self._working.wait():
            self._changed()
            await asyncio.sleep(FRAME_SECONDS)

    def _changed(self) -> None:
        self._bottom = None
        self._surface.changed()

    def _show_blocks(self, text: str) -> None:
        if text.strip():
            lines = rendered(self._console, text)
            self._surface.above(self._text([*lines, []] if self._speaking else lines) + "\n")
            self._changed()

    def _ready(self) -> None:
        """Write the lines that have ended above. They are not wrapped: the terminal does that, and can undo it."""
        parts = [Segment(text, self._console.get_style(style) if style else None) for text, style in self._line]
        self._line.clear()
        self._surface.above(self._printed(parts))

    def _below(self) -> str:
        """The line or block that has not ended, as far as a third of the screen shows it, and what goes on."""
        if self._bottom is None:
            if self._speaking:
                lines = rendered(self._console, self._reply.rest)
            else:
                lines = lines_of(self._console, Text.assemble(*self._line)) if self._line else []
            lines = lines[-max(1, self._console.height // 3) :]
            if self._label is not None:
                now = time.monotonic()
                shown = f"{self._spinner.render(now)} {self._label} {now - self._since:.0f} s"
                lines.append([Segment(shown[: self._console.width - 1], self._console.get_style("dim"))])
            self._bottom = self._text(lines)
        return self._bottom

    def _text(self, lines: Sequence[Sequence[Segment]]) -> str:
        return "\n".join(self._printed(line) for line in lines)

    def _printed(self, parts: Sequence[Segment]) -> str:
        with self._console.capture() as captured:
            # Segments go out as they are: a Text would have its tabs counted from where a piece begins.
            self._console.print(Segments(parts), end="", soft_wrap=True)
        return captured.get()


class LogLines(io.StringIO):
    """A file for the log of this process: its lines go above what is below, too."""

    def __init__(self, surface: Surface) -> None:
        super().__init__()
        self._surface = surface
        self._line = ""

    def write(self, text: str) -> int:
        done, line_end, self._line = (self._line + text).rpartition("\n")
        if line_end:
            self._surface.above(done + line_end)
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return True
