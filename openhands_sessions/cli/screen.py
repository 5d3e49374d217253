"""What a chat is shown on: the port of it, and plain text for files, pipes and terminals that know no codes."""

import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol, TextIO

from openhands_sessions.cli.output import clean


class Screen(Protocol):
    """Where a conversation is written to. No control sequence of a terminal gets through. `style` is
    rich's, for screens that have colours."""

    def write(self, text: str, style: str = "") -> None:
        """Continue after the last output."""

    def line(self, text: str = "", style: str = "") -> None:
        """Write a separate line."""

    def finish_line(self) -> None: ...

    def say(self, text: str) -> None:
        """Continue the agent's text, which is Markdown."""

    def said(self) -> None:
        """The agent's text has ended."""

    def problem(self, text: str) -> None:
        """An error."""

    def note(self, text: str) -> None:
        """Something about the chat itself, on standard error."""

    def detail(self, text: str) -> None:
        """A figure for people; programs are not told."""

    def prompt(self, text: str | None) -> None:
        """What asks for input now; None where nothing does."""

    def entered(self, text: str) -> None:
        """The user has typed this."""

    @property
    def is_busy(self) -> bool: ...

    def busy(self, label: str | None) -> None:
        """What goes on, in a word; None for nothing."""

    def alive(self) -> AbstractAsyncContextManager[None]:
        """Shows what moves, for the length of the block."""


class PlainScreen:
    """Text as it is, in order. `prompting` has it ask for input, for a person at a terminal without codes."""

    def __init__(self, out: TextIO | None = None, errors: TextIO | None = None, *, prompting: bool = False) -> None:
        self._out = out or sys.stdout
        self._errors = errors or sys.stderr
        self._prompting = prompting
        self._prompt: str | None = None
        self._at_start = True
        self._busy = False

    def write(self, text: str, style: str = "") -> None:
        text = clean(text)
        if text:
            self._leave_prompt()
            self._put(text)

    def line(self, text: str = "", style: str = "") -> None:
        self.finish_line()
        self.write(f"{text}\n")

    def finish_line(self) -> None:
        self._leave_prompt()
        if not self._at_start:
            self._put("\n")

    def say(self, text: str) -> None:
        self.write(text)

    def said(self) -> None:
        self.finish_line()

    def problem(self, text: str) -> None:
        self.note(f"error: {text}")

    def note(self, text: str) -> None:
        self.finish_line()
        print(clean(text), file=self._errors, flush=True)

    def detail(self, text: str) -> None:
        pass

    def prompt(self, text: str | None) -> None:
        if self._prompting and text is not None and text != self._prompt:
            self.finish_line()
            self._put(text)
            self._prompt = text

    def entered(self, text: str) -> None:
        self._prompt, self._at_start = None, True  # the terminal has shown it, with the line's end

    @property
    def is_busy(self) -> bool:
        return self._busy

    def busy(self, label: str | None) -> None:
        self._busy = label is not None

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[None]:
        yield

    def _leave_prompt(self) -> None:
        if self._prompt is not None:
            self._prompt = None
            self._put("\n")

    def _put(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
        self._at_start = text.endswith("\n")
