"""`sessions`: list, show, export and delete conversations of the data folder or of a server."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from openhands_sessions.cli.data_folder import opened
from openhands_sessions.cli.output import clean, columns, print_json
from openhands_sessions.cli.settings import loaded
from openhands_sessions.config.errors import ConfigError
from openhands_sessions.core.errors import SessionsError
from openhands_sessions.core.events.codec import timestamp_text
from openhands_sessions.core.ids import ConversationId, conversation_id
from openhands_sessions.ports.access import Access
from openhands_sessions.ports.gateway import SessionInfo

T = TypeVar("T")

TITLE = 60
PAGE = 100


class ConversationsTarget:
    """The data folder of the configuration, or a server. Raises ConfigError."""

    def __init__(self, flags: Mapping[str, object], file: Path | None, server: str | None) -> None:
        self._config = loaded(flags, file, quiet=True).config
        self._server = server

    def ask(self, question: Callable[[Access], Coroutine[Any, Any, T]]) -> T:
        """Open the place for one question. Raises SessionsError."""
        return asyncio.run(self._ask(question))

    async def _ask(self, question: Callable[[Access], Coroutine[Any, Any, T]]) -> T:
        async with opened(self._config, self._server) as access:
            return await question(access)


def ls(target: ConversationsTarget, limit: int, *, as_json: bool) -> int:
    """Print the newest conversations."""
    found = target.ask(lambda access: _newest(access, limit))
    if as_json:
        print_json([wire(info) for info in found])
    else:
        rows = [(info.id, _status(info), timestamp_text(info.created_at), _title(info)) for info in found]
        print(columns(("conversation", "status", "created", "title"), rows))
    return 0


def show(target: ConversationsTarget, sid: str, *, as_json: bool) -> int:
    """Print one conversation."""
    known = conversation_id(sid)
    info = target.ask(lambda access: access.gateway.describe(known))
    if as_json:
        print_json(wire(info))
    else:
        rows = [(name, "-" if value is None else clean(str(value))) for name, value in wire(info).items()]
        print(columns(rows[0], rows[1:]))
    return 0


def export(target: ConversationsTarget, sid: str, output: Path | None) -> int:
    """Write the events as a JSON list, to a new file or to standard output."""
    known = conversation_id(sid)
    if output is None:
        target.ask(lambda access: _export(access, known, sys.stdout.buffer.write))
        print(flush=True)
        return 0
    try:
        with output.open("xb") as file:
            target.ask(lambda access: _export(access, known, file.write))
    except FileExistsError:
        raise SessionsError(f"{output} exists already") from None
    except OSError as error:
        raise SessionsError(f"{output} cannot be written: {error.strerror}") from error
    except SessionsError:
        output.unlink()
        raise
    return 0


def delete(target: ConversationsTarget, sids: Sequence[str], *, yes: bool) -> int:
    """Delete conversations with their workspaces; returns 1 if one was not found."""
    known = [conversation_id(sid) for sid in sids]
    if not yes and not _confirmed(len(known)):
        return 1
    gone = target.ask(lambda access: _delete(access, known))
    for sid, deleted in zip(known, gone, strict=True):
        if deleted:
            print(f"deleted {sid}")
        else:
            print(f"error: conversation {sid!r} not found", file=sys.stderr)
    return 0 if all(gone) else 1


def wire(info: SessionInfo) -> dict[str, Any]:
    """A conversation as `--json` shows it."""
    return {
        "conversation_id": info.id,
        "title": info.title,
        "status": _status(info),
        "agent_state": info.agent_state,
        "created_at": timestamp_text(info.created_at),
        "updated_at": timestamp_text(info.updated_at),
        "events": None if info.head < 0 and info.state is None else info.head + 1,
        "connections": info.followers,
        "problem": info.problem,
    }


async def _newest(access: Access, limit: int) -> Sequence[SessionInfo]:
    found: list[SessionInfo] = []
    page_id: str | None = None
    while len(found) < limit:
        page = await access.conversations.page(limit=min(PAGE, limit - len(found)), page_id=page_id)
        found.extend(page.conversations)
        page_id = page.next_page
        if page_id is None:
            break
    return found


async def _export(access: Access, sid: ConversationId, write: Callable[[bytes], object]) -> None:
    async for chunk in access.conversations.export(sid):
        write(chunk)


async def _delete(access: Access, sids: Sequence[ConversationId]) -> list[bool]:
    return [await access.conversations.delete(sid) for sid in sids]


def _confirmed(count: int) -> bool:
    if not sys.stdin.isatty():
        raise ConfigError("sessions delete", "say --yes: nobody can be asked here")
    what = "this conversation" if count == 1 else f"these {count} conversations"
    answer = input(f"Delete {what} and the workspace, for good? [y/N] ")
    return answer.strip().lower() in ("y", "yes")


def _status(info: SessionInfo) -> str:
    return "stopped" if info.state is None else info.state.value.lower()


def _title(info: SessionInfo) -> str:
    title = " ".join(clean(info.title).split())
    return title if len(title) <= TITLE else f"{title[: TITLE - 1]}…"
