"""`chat`: talk to an agent, on a server or in this process."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from pydantic import SecretStr

from openhands_sessions.cli.conversation import Conversation
from openhands_sessions.cli.data_folder import opened
from openhands_sessions.cli.settings import loaded
from openhands_sessions.cli.terminal import Keyboard, Screen
from openhands_sessions.config.config import Config
from openhands_sessions.config.errors import ConfigError
from openhands_sessions.config.loading import FLAGS, SET
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import conversation_id
from openhands_sessions.ports.gateway import SessionSpec

STDIN = 0


def run(flags: Mapping[str, object], file: Path | None, *, server: str | None, conversation: str | None) -> int:
    """Returns the exit code: 1 if a turn failed. Raises ConfigError, SessionsError."""
    config = loaded(flags, file, quiet=True).config
    changed = conversation_settings(flags, config)
    if changed and server is not None and conversation is not None:
        raise ConfigError(next(iter(changed)), "a conversation keeps the settings it was made with; leave this out")
    return asyncio.run(_talk(config, server, conversation, dict(changed.values())))


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


async def _talk(config: Config, server: str | None, conversation: str | None, settings: dict[str, Json]) -> int:
    typing = sys.stdin is not None and sys.stdin.isatty()
    screen = Screen()
    spec = SessionSpec(id=conversation_id(conversation or uuid4().hex), create=conversation is None, settings=settings)
    async with opened(config, server) as access:
        info = await access.gateway.open(spec)
        if typing:
            screen.line(f"Conversation {info.id}", "dim")
            if server is None:
                screen.line("Commands run on this machine, in a folder of their own but not isolated.", "dim")
        code = await Conversation(access.gateway, info, screen, Keyboard(STDIN), typing=typing).run()
        if typing:
            there = "" if server is None else f" --server {server}"
            screen.line(f"Go on with: openhands-sessions chat{there} --conversation {info.id}", "dim")
    return code
