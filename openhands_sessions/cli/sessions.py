"""`sessions`: list, show, export and delete conversations of the data folder or of a server."""

import asyncio
import shutil
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from openhands_sessions.cli.data_folder import opened
from openhands_sessions.cli.output import GAP, clean, columns, counted, print_json
from openhands_sessions.cli.settings import loaded
from openhands_sessions.config.errors import ConfigError
from openhands_sessions.core.errors import BadInput, NotFound, SessionsError
from openhands_sessions.core.events.codec import timestamp_text
from openhands_sessions.core.ids import ConversationId, conversation_id
from openhands_sessions.ports.access import Access
from openhands_sessions.ports.conversations import ConversationFilter
from openhands_sessions.ports.gateway import SessionInfo

T = TypeVar("T")

TITLE = 60
"""Characters of a title where the output is not a terminal."""
NARROWEST_TITLE = 8
HEADER = ("id", "status", "begun")
SHORT_ID = 8
SHORTEST_PREFIX = 4
"""Characters by which a conversation is found; fewer name one by accident."""
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


def ls(target: ConversationsTarget, limit: int, *, search: str | None = None, as_json: bool) -> int:
    """Print the newest conversations, and on stderr how many more there are."""
    found, total = target.ask(lambda access: _newest(access, limit, ConversationFilter(search=search)))
    if as_json:
        print_json([wire(info) for info in found])
    elif sys.stdout.isatty():
        print(_listing(found, shutil.get_terminal_size().columns))
    else:
        rows = [(info.id, _status(info), timestamp_text(info.created_at), _title(info, TITLE)) for info in found]
        print(columns(("conversation", "status", "created", "title"), rows))
    if (more := total - len(found)) > 0:
        print(f"{more} more; --limit {total} shows all, --search TEXT finds one", file=sys.stderr)
    return 0


def show(target: ConversationsTarget, sid: str, *, as_json: bool) -> int:
    """Print one conversation."""
    info = target.ask(lambda access: find(access, sid))
    if as_json:
        print_json(wire(info))
    else:
        rows = [(name, "-" if value is None else clean(str(value))) for name, value in wire(info).items()]
        print(columns(rows[0], rows[1:]))
    return 0


async def find(access: Access, text: str) -> SessionInfo:
    """The conversation with this id, or the one whose id begins so. Raises NotFound, BadInput where several do."""
    given = conversation_id(text)
    try:
        return await access.gateway.describe(given)
    except NotFound:
        if len(given) < SHORTEST_PREFIX:
            problem = f"is unknown; an id's beginning is taken from {SHORTEST_PREFIX} characters on"
            raise BadInput(f"the id {given!r}", problem) from None
    found = (await access.conversations.page(limit=2, matching=ConversationFilter(id_prefix=given))).conversations
    if not found:
        raise NotFound("conversation", given)
    if len(found) > 1:
        raise BadInput("the id", f"{given!r} begins more than one conversation's; give more of it")
    return await access.gateway.describe(found[0].id)


def export(target: ConversationsTarget, sid: str, output: Path | None) -> int:
    """Write the trajectory, with its owner and its cost, to a new file or to standard output."""
    if output is None:
        target.ask(lambda access: _export(access, sid, sys.stdout.buffer.write))
        print(flush=True)
        return 0
    try:
        with output.open("xb") as file:
            target.ask(lambda access: _export(access, sid, file.write))
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
    asked = [conversation_id(sid) for sid in sids]
    found = target.ask(lambda access: _known(access, asked))
    named = list({info.id: info for info in found if info is not None}.values())
    if named and not yes and not _confirmed(named):
        return 1
    gone = target.ask(lambda access: _delete(access, [info.id for info in named]))
    for sid in gone:
        print(f"deleted {sid}")
    for sid, info in zip(asked, found, strict=True):
        if info is None:
            print(f"error: conversation {sid!r} not found", file=sys.stderr)
    return 0 if len(gone) == len(named) and all(found) else 1


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


async def _newest(access: Access, limit: int, matching: ConversationFilter) -> tuple[Sequence[SessionInfo], int]:
    """At most `limit`, and how many there are."""
    found: list[SessionInfo] = []
    page_id: str | None = None
    total: int | None = None
    while len(found) < limit:
        size = min(PAGE, limit - len(found))
        page = await access.conversations.page(limit=size, page_id=page_id, matching=matching, count=total is None)
        found.extend(page.conversations)
        page_id, total = page.next_page, page.total if total is None else total
        if page_id is None:
            break
    return found, max(total or 0, len(found))


async def _export(access: Access, sid: str, write: Callable[[bytes], object]) -> None:
    found = await find(access, sid)
    async for chunk in access.conversations.export(found.id):
        write(chunk)


async def _known(access: Access, sids: Sequence[ConversationId]) -> list[SessionInfo | None]:
    """What each id names; None where there is no such conversation. Raises BadInput where a beginning names several."""
    return [await _found(access, sid) for sid in sids]


async def _found(access: Access, sid: ConversationId) -> SessionInfo | None:
    try:
        return await find(access, sid)
    except NotFound:
        return None


async def _delete(access: Access, sids: Sequence[ConversationId]) -> list[ConversationId]:
    """Those that there still were."""
    return [sid for sid in sids if await access.conversations.delete(sid)]


def _confirmed(named: Sequence[SessionInfo]) -> bool:
    if not sys.stdin.isatty():
        raise ConfigError("sessions delete", "say --yes: there is no terminal to confirm on")
    for info in named:
        print(f"{info.id[:SHORT_ID]}  {_title(info, TITLE)}")
    what = "this conversation and its workspace" if len(named) == 1 else "these conversations and their workspaces"
    return input(f"Delete {what}, for good? [y/N] ").strip().lower() in ("y", "yes")


def _status(info: SessionInfo) -> str:
    return "stopped" if info.state is None else info.state.value.lower()


def _listing(found: Sequence[SessionInfo], width: int) -> str:
    """A table for people: as much of the id as names it here, when it began, and as much of the title as fits."""
    size = _telling([info.id for info in found])
    now = datetime.now(UTC)
    cells = [(info.id[:size], _status(info), age(now, info.created_at)) for info in found]
    taken = sum(max(len(cell) for cell in column) + len(GAP) for column in zip(HEADER, *cells, strict=True))
    room = max(width - taken, NARROWEST_TITLE)
    rows = [(*line, _title(info, room)) for line, info in zip(cells, found, strict=True)]
    return columns((*HEADER, "title"), rows)


def _telling(ids: Sequence[str]) -> int:
    """How many first characters tell these ids apart."""
    size = SHORT_ID
    while len({each[:size] for each in ids}) < len(ids):
        size += 1
    return size


def age(now: datetime, then: datetime) -> str:
    """How long ago, in a few characters: `12 min`, `5 h`, `3 days`, then the date, in local time."""
    seconds = max((now - then).total_seconds(), 0)
    local = then.astimezone()
    if seconds < 60:
        return "just now"
    if seconds < 3_600:
        return f"{seconds // 60:.0f} min"
    if seconds < 86_400:
        return f"{seconds // 3_600:.0f} h"
    if seconds < 7 * 86_400:
        return counted(int(seconds // 86_400), "day")
    return f"{local:%d %b}" if local.year == now.astimezone().year else f"{local:%Y-%m-%d}"


def _title(info: SessionInfo, width: int) -> str:
    title = " ".join(clean(info.title).split())
    return title if len(title) <= width else f"{title[: width - 1]}…"
