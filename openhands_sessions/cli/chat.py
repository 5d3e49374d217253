"""`chat`: talk to an agent, on a server or in this process; on a terminal, or with one message."""

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from platformdirs import user_state_path
from pydantic import SecretStr

from openhands_sessions.cli.chat_target import ChatTarget
from openhands_sessions.cli.conversation import INTERRUPTED, Conversation
from openhands_sessions.cli.data_folder import opened
from openhands_sessions.cli.event_lines import EventLines
from openhands_sessions.cli.history import messages_of
from openhands_sessions.cli.keyboard import Keyboard, LineKeyboard, OneMessage, whole_input
from openhands_sessions.cli.output import program
from openhands_sessions.cli.screen import PlainScreen, Screen
from openhands_sessions.cli.sessions import find
from openhands_sessions.cli.settings import loaded, log_to
from openhands_sessions.cli.slash_commands import COMMANDS
from openhands_sessions.cli.subcommands import command
from openhands_sessions.cli.transcript import Transcript
from openhands_sessions.config.config import Config
from openhands_sessions.config.errors import ConfigError
from openhands_sessions.config.loading import FLAGS, SET, Loaded
from openhands_sessions.core.errors import BadInput, SessionsError
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import conversation_id
from openhands_sessions.ports.gateway import SessionSpec

HISTORY = "chat_history.jsonl"
FAILED = 1
HUNG_UP = 128 + signal.SIGHUP


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatOptions:
    """What `chat` is called with: the address of a `server`, the id of a `conversation`, a `message` to send, a file of
    messages to begin from."""

    server: str | None = None
    conversation: str | None = None
    message: str | None = None
    as_json: bool = False
    seed: Path | None = None


def run(flags: Mapping[str, object], file: Path | None, options: ChatOptions) -> int:
    """Returns the exit code: 1 if a turn failed. Raises ConfigError, SessionsError."""
    found = loaded(flags, file, quiet=True)
    changed = conversation_settings(flags, found.config)
    if changed and options.server is not None and options.conversation is not None:
        raise ConfigError(next(iter(changed)), "a conversation keeps the settings it was made with; leave this out")
    if options.seed is not None and options.conversation is not None:
        raise ConfigError("--seed", "begins a new conversation; for this one, use sessions history --seed")
    earlier = () if options.seed is None else messages_of(options.seed)
    sid = conversation_id(options.conversation or uuid4().hex)
    new = options.conversation is None
    spec = SessionSpec(id=sid, create=new, settings=dict(changed.values()), seed_messages=earlier)
    try:
        message = _message(options)
        return asyncio.run(_Chat(found, options, spec, "--data-dir" in flags).talk(message))
    except KeyboardInterrupt:  # before the conversation takes signals, or after
        return INTERRUPTED


def conversation_settings(flags: Mapping[str, object], config: Config) -> dict[str, tuple[str, Json]]:
    """The flags that are settings of a conversation, each with the name and value of that setting."""
    found: dict[str, tuple[str, Json]] = {}
    for flag in flags:
        table, _, name = (FLAGS.get(flag) or flag.removeprefix(SET)).partition(".")
        if table in ("llm", "agent"):
            value = getattr(getattr(config, table), name)
            setting = "agent" if (table, name) == ("agent", "kind") else f"llm_{name}" if table == "llm" else name
            found[flag] = (setting, value.get_secret_value() if isinstance(value, SecretStr) else value)
    return found


def _message(options: ChatOptions) -> str | None:
    """The one message to send, from the flag, from standard input, or from both; None for a person who types. Raises
    BadInput where there is nothing to send."""
    typing = sys.stdin is not None and sys.stdin.isatty()
    if typing and options.message is None:
        if options.as_json:
            raise ConfigError("--json", "is for one message: give it with -m, or on standard input")
        return None
    piped = "" if typing or sys.stdin is None else whole_input()
    parts = [part for part in (options.message or "", piped) if part.strip()]
    if not parts:
        raise BadInput("the message", "is empty: nothing was sent, and no conversation was made")
    return "\n\n".join(parts)


@dataclass(frozen=True)
class _Chat:
    found: Loaded
    options: ChatOptions
    spec: SessionSpec
    folder_named: bool

    async def talk(self, message: str | None) -> int:
        config, server = self.found.config, self.options.server
        async with AsyncExitStack() as stack:
            access = await stack.enter_async_context(opened(config, server))
            spec = self.spec if self.spec.create else replace(self.spec, id=(await find(access, self.spec.id)).id)
            call = f"{program()} chat{self._place()}"
            target = ChatTarget(access, spec, None if server else config.llm.model, call)
            keyboard, screen = self._terminal() if message is None else (OneMessage(message), self._output())
            if message is None:
                if server is not None:
                    await access.conversations.page(limit=1)  # a server that is away says so before anything is typed
                self._greet(screen)
            transcript = EventLines(screen) if self.options.as_json else Transcript(screen)
            code = HUNG_UP
            try:
                code = await Conversation(target, keyboard, screen, transcript, typing=message is None).run()
            except SessionsError:
                code = FAILED
                raise
            finally:
                if message is None and target.is_open and code != HUNG_UP:
                    screen.line(f"Go on with: {call} --conversation {target.sid}", "dim")
        return code

    def _terminal(self) -> tuple[Keyboard, Screen]:
        """What a person types on and reads."""
        if not _has_codes():
            return LineKeyboard(), PlainScreen(prompting=sys.stdout.isatty())
        folder = self.found.config.data_dir if self.options.server is None else user_state_path("openhands-sessions")
        editor = command("line_editor").LineEditor(folder / HISTORY, COMMANDS)
        terminal = command("terminal")
        if sys.stderr.isatty():
            log_to(self.found, terminal.LogLines(editor))
        return editor, terminal.StyledScreen(editor)

    def _output(self) -> Screen:
        """What one message's answer goes to."""
        if self.options.as_json:
            return PlainScreen(sys.stderr)
        if not _has_codes():
            return PlainScreen()
        terminal = command("terminal")
        screen: Screen = terminal.StyledScreen(terminal.OutputEnd(sys.stdout))
        return screen

    def _greet(self, screen: Screen) -> None:
        if self.spec.create:
            screen.line("A conversation begins with your first message; /help lists commands and keys.", "dim")
        if self.options.server is None and self.found.config.runtime.kind == "local":
            screen.line("Commands run on this machine, in a folder of their own but not isolated.", "dim")

    def _place(self) -> str:
        if self.options.server is not None:
            return f" --server {self.options.server}"
        return f" --data-dir {shlex.quote(str(self.found.config.data_dir))}" if self.folder_named else ""


def _has_codes() -> bool:
    """Whether standard output is a terminal that can move its cursor."""
    return sys.stdout.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
