"""`chat`: talk to an agent, on a server or in this process."""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from pydantic import SecretStr

from openhands_sessions.cli.conversation import Conversation
from openhands_sessions.cli.data_folder import opened
from openhands_sessions.cli.screen import Keyboard, Screen
from openhands_sessions.cli.settings import loaded
from openhands_sessions.config.config import Config
from openhands_sessions.config.errors import ConfigError
from openhands_sessions.config.loading import FLAGS, SET
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import conversation_id
from openhands_sessions.ports.gateway import SessionSpec

STDIN = 0


@dataclass(frozen=True, slots=True)
class ChatTarget:
    """Where to talk, and to whom: a new conversation where none is named."""

    server: str | None
    conversation: str | None


def run(flags: Mapping[str, object], file: Path | None, *, server: str | None, conversation: str | None) -> int:
    """The exit code: 1 where a turn went wrong. Raises ConfigError, SessionsError."""
    config = loaded(flags, file, quiet=True).config
    wanted = asked(flags, config)
    if wanted and server is not None and conversation is not None:
        raise ConfigError(next(iter(wanted)), "a conversation keeps the settings it was made with; leave this out")
    return asyncio.run(_talk(config, ChatTarget(server, conversation), dict(wanted.values())))


def asked(flags: Mapping[str, object], config: Config) -> dict[str, tuple[str, Json]]:
    """Of the flags those that are settings of a conversation: the flag, and the setting's name and value there."""
    found: dict[str, tuple[str, Json]] = {}
    for flag in flags:
        table, _, name = (FLAGS.get(flag) or flag.removeprefix(SET)).partition(".")
        if table in ("llm", "agent"):
            value = getattr(getattr(config, table), name)
            setting = "agent" if (table, name) == ("agent", "kind") else f"llm_{name}" if table == "llm" else name
            found[flag] = (setting, value.get_secret_value() if isinstance(value, SecretStr) else value)
    return found


async def _talk(config: Config, whom: ChatTarget, settings: dict[str, Json]) -> int:
    typing = sys.stdin is not None and sys.stdin.isatty()
    screen = Screen()
    spec = SessionSpec(
        id=conversation_id(whom.conversation or uuid4().hex),
        create=whom.conversation is None,
        settings=settings,
    )
    async with opened(config, whom.server) as access:
        info = await access.gateway.open(spec)
        if typing:
            screen.line(f"Conversation {info.id}", "dim")
            if whom.server is None:
                screen.line("Commands run on this machine, in a folder of their own but not isolated.", "dim")
        code = await Conversation(access.gateway, info, screen, Keyboard(STDIN), typing=typing).run()
        if typing:
            there = "" if whom.server is None else f" --server {whom.server}"
            screen.line(f"Go on with: openhands-sessions chat{there} --conversation {info.id}", "dim")
    return code
