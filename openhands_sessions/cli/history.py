"""`sessions history`: the turns of a conversation's dialogue, and what moves it."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

from openhands_sessions.cli.output import clean, columns, print_json
from openhands_sessions.cli.sessions import ConversationsTarget, find
from openhands_sessions.config.errors import ConfigError
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.history_changes import HistoryChange
from openhands_sessions.core.history_commands import (
    CreateCheckpoint,
    DeleteBranch,
    GoBack,
    HistoryCommand,
    Seed,
    SwitchBranch,
    Undo,
)
from openhands_sessions.core.ids import UNNUMBERED, EventId
from openhands_sessions.core.seeding import MOST_MESSAGES
from openhands_sessions.ports.access import Access
from openhands_sessions.ports.conversations import DialogueHistory

SHOWN_TEXT = 80
"""Characters of a message that a turn is listed with."""


def history(target: ConversationsTarget, sid: str, limit: int, command: HistoryCommand | None, *, as_json: bool) -> int:
    """Carry the command out and print what it did; without one, list the newest turns, branches and checkpoints."""
    if command is None:
        found = target.ask(lambda access: _read(access, sid, limit))
        if as_json:
            print_json(asdict(found))
        else:
            print(_listing(found))
        return 0
    done = target.ask(lambda access: _do(access, sid, command))
    if as_json:
        print_json(asdict(done))
    else:
        print(words(done))
    return 0


def command_of(
    *,
    undo: bool,
    to: str | None,
    checkpoint: str | None,
    switch: str | None,
    delete_branch: str | None,
    seed: Path | None,
) -> HistoryCommand | None:
    """What the options ask for; None without any. A number is a message's id, all else a checkpoint's name. Raises
    ConfigError for two of them, and for a file that holds no messages."""
    asked: list[HistoryCommand] = []
    if undo:
        asked.append(Undo())
    if to is not None:
        asked.append(GoBack(message=EventId(int(to))) if to.isdecimal() else GoBack(checkpoint=to))
    if checkpoint is not None:
        asked.append(CreateCheckpoint(name=checkpoint))
    if switch is not None:
        asked.append(SwitchBranch(branch=switch))
    if delete_branch is not None:
        asked.append(DeleteBranch(branch=delete_branch))
    if seed is not None:
        asked.append(Seed(messages=messages_of(seed)))
    if len(asked) > 1:
        options = "--undo, --to, --checkpoint, --switch, --delete-branch and --seed"
        raise ConfigError("sessions history", f"takes one of {options} at a time")
    return asked[0] if asked else None


def messages_of(file: Path) -> tuple[Json, ...]:
    """Of a file that holds a list of messages, or a request with them. Raises ConfigError."""
    try:
        held = json.loads(file.read_bytes())
    except OSError as error:
        raise ConfigError("--seed", f"{file.name} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise ConfigError("--seed", f"{file.name} is no JSON") from None
    found = held.get("messages") if isinstance(held, dict) else held
    if not isinstance(found, list) or not 1 <= len(found) <= MOST_MESSAGES:
        raise ConfigError("--seed", f"{file.name} must hold a list of 1 to {MOST_MESSAGES} messages")
    return tuple(found)


def words(done: HistoryChange) -> str:
    """What was done, and the message of the turn that was left."""
    return "\n".join(line for line in (clean(done.told), taken_back(done)) if line)


def taken_back(done: HistoryChange) -> str:
    """The message of the turn that was left; empty where none was."""
    return "" if done.text is None else clean(f"Taken back, from message {done.message} on: {_line(done.text)}")


async def _read(access: Access, sid: str, limit: int) -> DialogueHistory:
    return await access.conversations.history((await find(access, sid)).id, limit=limit)


async def _do(access: Access, sid: str, command: HistoryCommand) -> HistoryChange:
    found = await find(access, sid)
    accepted = await access.gateway.submit(found.id, command, key=uuid4().hex)
    return await access.conversations.history_change(found.id, accepted.id)


def _listing(found: DialogueHistory) -> str:
    rows = [(str(turn.message), _line(turn.text)) for turn in found.turns]
    parts = [f"branch {found.branch}", columns(("message", "text"), rows)]
    if found.more:
        parts.append("(and older turns; --limit shows more)")
    if found.branches:
        parts.append(_table("other branches", [(one.name, f"up to event {one.tip}") for one in found.branches]))
    if found.checkpoints:
        places = [(one.name, _place(one.at), one.description) for one in found.checkpoints]
        parts.append(_table("checkpoints", places))
    return "\n\n".join(clean(part) for part in parts)


def _table(name: str, rows: Sequence[Sequence[str]]) -> str:
    return columns((name, *[""] * (len(rows[0]) - 1)), rows)


def _place(at: EventId) -> str:
    return "at the end of this turn" if at == UNNUMBERED else f"after event {at}"


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_TEXT else f"{line[: SHOWN_TEXT - 1]}…"
