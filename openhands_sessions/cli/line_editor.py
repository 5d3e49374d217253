"""The line editor of a chat: a prompt at the bottom of the terminal, with history, completion and several lines."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.data_structures import Size
from prompt_toolkit.document import Document
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import Condition, has_focus
from prompt_toolkit.formatted_text import ANSI, AnyFormattedText, to_formatted_text
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output.vt100 import Vt100_Output

from openhands_sessions.cli.chat_history import ChatHistory

MOST_WAITING = 100
"""Messages that are typed and not taken yet; then Enter does nothing."""
USUAL = "> "
MENU_ROWS = 6


class PromptOutput(Vt100_Output):
    """A terminal that gets what goes above the prompt and the prompt again in one write, so that nothing flickers, and
    that brackets pastes also while the prompt is drawn again: otherwise each line of one would be a message."""

    held = False

    def flush(self) -> None:
        if not self.held:
            super().flush()

    def disable_bracketed_paste(self) -> None:
        pass

    def release(self) -> None:
        """Leave the terminal as it was."""
        super().disable_bracketed_paste()
        self.flush()


class LineEditor:
    """Keyboard and surface of one terminal, which stays in raw mode throughout. Otherwise it would echo what is pasted
    during an output, and lose what is longer than its buffer."""

    def __init__(self, history: Path, commands: Mapping[str, str]) -> None:
        self.bottom: Callable[[], str] = str
        self._prompt = USUAL
        self._typed: asyncio.Queue[str | None] = asyncio.Queue(MOST_WAITING + 1)
        # The terminal is not asked where its cursor is (CPR): the answer takes a while, and some never give one.
        self._output = PromptOutput(sys.stdout, _size, term=os.environ.get("TERM"), enable_cpr=False)
        self._session: PromptSession[str] = PromptSession(
            self._message,
            output=self._output,
            multiline=True,
            prompt_continuation="  ",
            history=ChatHistory(history),
            completer=CommandCompleter(commands),
            complete_while_typing=Condition(lambda: self._session.default_buffer.text.startswith("/")),
            reserve_space_for_menu=MENU_ROWS,
            key_bindings=self._keys(),
            enable_suspend=True,
            erase_when_done=True,
        )

    async def messages(self) -> AsyncGenerator[str, None]:
        prompting = asyncio.create_task(
            self._session.prompt_async(set_exception_handler=False, handle_sigint=False), name="line editor"
        )
        prompting.add_done_callback(lambda _: self._typed.put_nowait(None))
        try:
            while (text := await self._typed.get()) is not None:
                yield text
        finally:
            if not self._session.app.is_running:
                prompting.cancel()
            elif not self._session.app.is_done:
                self._session.app.exit(exception=EOFError)
            with suppress(EOFError, asyncio.CancelledError):
                await prompting
            self._output.release()

    def clear(self) -> bool:
        buffer = self._session.default_buffer
        typed = bool(buffer.text)
        buffer.reset()
        return typed

    def above(self, text: str) -> None:
        renderer = self._session.app.renderer
        if renderer.last_rendered_screen is not None:
            self._output.held = True
            renderer.erase()
            self._output.held = False
        self._output.write_raw(text)
        if self._session.app.is_running:
            self.changed()  # which writes both
        else:
            self._output.flush()

    def changed(self) -> None:
        self._session.app.invalidate()

    def ask(self, prompt: str | None) -> None:
        if self._prompt != (prompt or USUAL):
            self._prompt = prompt or USUAL
            self.changed()

    def _message(self) -> AnyFormattedText:
        below = self.bottom()
        return [*to_formatted_text(ANSI(f"{below}\n" if below else "")), ("bold", self._prompt)]

    def _keys(self) -> KeyBindings:
        keys, typing = KeyBindings(), has_focus(DEFAULT_BUFFER)

        @keys.add("enter", filter=typing)
        def send(event: KeyPressEvent) -> None:
            buffer = event.current_buffer
            if not buffer.text.strip():
                buffer.reset()
            elif self._typed.qsize() < MOST_WAITING:
                self._typed.put_nowait(buffer.text)
                buffer.reset(append_to_history=True)

        @keys.add("escape", "enter", filter=typing)
        @keys.add("c-j", filter=typing)
        def begin_line(event: KeyPressEvent) -> None:
            event.current_buffer.newline(copy_margin=False)

        @keys.add("c-c", filter=typing)
        def interrupt(event: KeyPressEvent) -> None:
            signal.raise_signal(signal.SIGINT)

        return keys


def _size() -> Size:
    try:
        columns, rows = os.get_terminal_size(sys.stdout.fileno())
    except OSError:  # the terminal is gone
        columns, rows = 0, 0
    return Size(rows=rows or 24, columns=columns or 80)


class CommandCompleter(Completer):
    """Completes the name of a command, with its meaning."""

    def __init__(self, commands: Mapping[str, str]) -> None:
        self._commands = commands

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        typed = document.text_before_cursor
        if typed.startswith("/"):
            for name, meaning in self._commands.items():
                if f"/{name}".startswith(typed):
                    yield Completion(f"/{name}", -len(typed), display_meta=meaning)
