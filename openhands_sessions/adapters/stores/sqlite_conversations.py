"""The rows of conversations in SQLite."""

import asyncio
import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeAlias

from openhands_sessions.adapters.stores.append_buffer import Append, AppendBuffer
from openhands_sessions.adapters.stores.checksums import ESCAPES, ROW_COLUMNS, row_checksum
from openhands_sessions.adapters.stores.encoding import (
    changed,
    check_row,
    check_texts,
    import_of,
    import_text,
    json_text,
    microseconds,
    moment_of,
    settings_of,
    size_of,
    sizes_of,
)
from openhands_sessions.adapters.stores.sqlite_migrations import seal_rows
from openhands_sessions.adapters.stores.sqlite_reader import ReaderPool
from openhands_sessions.adapters.stores.sqlite_schema import LIVE, PURGING
from openhands_sessions.adapters.stores.sqlite_snapshots import save_snapshot
from openhands_sessions.adapters.stores.sqlite_states import begin_state
from openhands_sessions.adapters.stores.sqlite_writer import Writer
from openhands_sessions.adapters.stores.stored_sizes import stored_by
from openhands_sessions.core.errors import AlreadyExists, DamagedRecord, NotFound
from openhands_sessions.core.ids import UNNUMBERED, ConversationId, OwnerId
from openhands_sessions.core.repository import Repository
from openhands_sessions.ports.conversations import ANY_CONVERSATION, ConversationFilter
from openhands_sessions.ports.store import NEVER_CLAIMED, ConversationRow, LogBeginning, RowChanges, StoredLimits

_Value: TypeAlias = str | int | None

_REPOSITORY = ("repository_name", "repository_url", "branch", "git_provider")
_DECODED: Mapping[str, Callable[[Any], Any]] = {
    "created_at": moment_of,
    "updated_at": moment_of,
    "checkout": bool,
    "archived": bool,
    "imported": lambda text: None if text is None else import_of(text),
    "settings": settings_of,
    "began_with": lambda text: None if text is None else settings_of(text),
}
_LIKE_SIGNS = re.compile(r"[\^%_]")
_ROW = f"SELECT {', '.join(ROW_COLUMNS)}, checksum FROM conversations WHERE gone = {LIVE}"
_INSERT = f"INSERT OR IGNORE INTO conversations ({', '.join(ROW_COLUMNS)}) VALUES ({', '.join('?' * len(ROW_COLUMNS))})"
_EMPTY = (
    "UPDATE conversations SET owner = '', created_at = 0, updated_at = 0, trigger = '', settings = '{}', checkout = 0,"
    " archived = 0, title = NULL, initial_message = NULL, images_key = NULL, replay_key = NULL, repository_name = NULL,"
    " repository_url = NULL, branch = NULL, git_provider = NULL, imported = NULL, forked_from = NULL, sandbox = NULL,"
    " began_with = NULL, holder = NULL, approval_due = NULL, checksum = NULL, gone = ? WHERE key = ?"
)


class SqliteConversations:
    """One row per conversation, also for a deleted one: then it holds the id and nothing else."""

    def __init__(self, writer: Writer, readers: ReaderPool) -> None:
        self._writer = writer
        self._readers = readers

    async def create(
        self,
        row: ConversationRow,
        *,
        files: int = 0,
        limits: StoredLimits | None = None,
        begins: LogBeginning | None = None,
    ) -> None:
        check_row(row)
        create = partial(_create, row, files, limits)
        if begins is None:
            await self._writer.call(row.id, create)
            return
        for snapshot in begins.snapshots:
            size_of("text", snapshot.text)
        sizes = sizes_of(begins.entries, expected=UNNUMBERED, receipt=begins.receipt)
        # No caller waits for its future: the call that it is a part of tells how it went.
        append = Append(
            asyncio.get_running_loop().create_future(),
            row.id,
            begins.entries,
            sizes,
            UNNUMBERED,
            NEVER_CLAIMED,
            begins.receipt,
            sum(sizes),
        )
        await self._writer.call(row.id, partial(_begin, create, append, begins), sum(sizes))

    async def get(self, sid: ConversationId) -> ConversationRow | None:
        return await self._readers.call(partial(stored_row, sid))

    async def page(
        self,
        owner: OwnerId | None,
        *,
        limit: int,
        before: tuple[datetime, ConversationId] | None = None,
        matching: ConversationFilter = ANY_CONVERSATION,
        guest: OwnerId | None = None,
    ) -> Sequence[ConversationRow]:
        query = partial(page_query, owner, limit=limit, matching=matching, guest=guest)
        rows, damaged = await self._readers.call(partial(_page, query, limit, before))
        for error in damaged:
            self._readers.condition.note_record(error)
        return rows

    async def count(
        self, owner: OwnerId | None, matching: ConversationFilter = ANY_CONVERSATION, *, guest: OwnerId | None = None
    ) -> int:
        where, values = _wanted(owner, matching, guest)
        return await self._readers.call(partial(_count, where, values))

    async def update(
        self, sid: ConversationId, changes: RowChanges, *, if_version: int | None = None
    ) -> ConversationRow:
        check_texts(changes)
        return await self._writer.call(sid, partial(_update, sid, changes, if_version))

    async def delete(self, sid: ConversationId) -> bool:
        """Gone for every reader when it returns; the writer then removes the entries piece by piece, also after a
        restart."""
        return await self._writer.call(sid, partial(_delete, sid))


def page_query(
    owner: OwnerId | None,
    *,
    limit: int,
    before: tuple[datetime, ConversationId] | None,
    matching: ConversationFilter = ANY_CONVERSATION,
    guest: OwnerId | None = None,
) -> tuple[str, tuple[str | int, ...]]:
    """The statement of one page and its values: a walk along an index, whatever is asked of one owner's rows; of a
    guest's, as many steps as are shared with it."""
    where, values = _wanted(owner, matching, guest)
    if before is not None:
        where, values = f"{where} AND (created_at, id) < (?, ?)", [*values, microseconds(before[0]), before[1]]
    return f"{_ROW}{where} ORDER BY created_at DESC, id DESC LIMIT ?", (*values, max(limit, 0))


def _wanted(owner: OwnerId | None, matching: ConversationFilter, guest: OwnerId | None) -> tuple[str, list[str | int]]:
    """Conditions that follow `gone`, and their values."""
    where, values = "", list[str | int]()
    if guest is not None:
        where, values = " AND key IN (SELECT conversation FROM shares WHERE kind = 'user' AND name = ?)", [guest]
    wanted = (("owner", owner), ("repository_name", matching.repository), ("trigger", matching.trigger))
    for column, value in wanted:
        if value is not None:
            where, values = f"{where} AND {column} = ?", [*values, value]
    if matching.id_prefix is not None:
        where, values = f"{where} AND substr(id, 1, ?) = ?", [*values, len(matching.id_prefix), matching.id_prefix]
    if matching.search is not None:
        pattern = "%" + _LIKE_SIGNS.sub(r"^\g<0>", matching.search) + "%"
        where = f"{where} AND (title LIKE ? ESCAPE '^' OR initial_message LIKE ? ESCAPE '^')"
        values = [*values, pattern, pattern]
    return where, values


def _count(where: str, values: Sequence[str | int], connection: sqlite3.Connection) -> int:
    query = f"SELECT count(*) FROM conversations WHERE gone = {LIVE}{where}"
    return int(connection.execute(query, values).fetchone()[0])


def _create(row: ConversationRow, files: int, limits: StoredLimits | None, connection: sqlite3.Connection) -> None:
    if limits is not None:
        limits.check(*stored_by(row.owner, connection))
    inserted = connection.execute(_INSERT, _values(row))
    if not inserted.rowcount:
        raise AlreadyExists(f"the conversation id {row.id!r} is taken")
    connection.execute("INSERT INTO sizes VALUES (?, ?)", (inserted.lastrowid, files + _size(row)))
    seal_rows(connection, row.id)


def _begin(
    create: Callable[[sqlite3.Connection], None], append: Append, begins: LogBeginning, connection: sqlite3.Connection
) -> None:
    create(connection)
    buffer = AppendBuffer(connection)
    buffer.append(append)
    buffer.write()
    for snapshot in begins.snapshots:
        save_snapshot(append.sid, snapshot, connection)
    if begins.state is not None:
        begin_state(append.sid, begins.state, connection)


def _size(row: ConversationRow) -> int:
    return len((row.initial_message or "").encode(errors=ESCAPES))


def stored_row(sid: ConversationId, connection: sqlite3.Connection) -> ConversationRow | None:
    """Raises DamagedRecord."""
    found = connection.execute(f"{_ROW} AND id = ?", (sid,)).fetchone()
    return None if found is None else _row(found)


def _update(
    sid: ConversationId, changes: RowChanges, if_version: int | None, connection: sqlite3.Connection
) -> ConversationRow:
    row = stored_row(sid, connection)
    if row is None:
        raise NotFound("conversation", sid)
    updated = changed(row, changes, if_version)
    given = dict(zip(ROW_COLUMNS, _values(updated), strict=True))
    names = ("version", *(name for name in RowChanges.__annotations__ if name in changes))
    assignments = ", ".join(f"{name} = ?" for name in names)
    connection.execute(f"UPDATE conversations SET {assignments} WHERE id = ?", (*(given[name] for name in names), sid))
    seal_rows(connection, sid)
    return updated


def _delete(sid: ConversationId, connection: sqlite3.Connection) -> bool:
    found = connection.execute("SELECT key FROM conversations WHERE id = ? AND gone = ?", (sid, LIVE)).fetchone()
    if found is None:
        return False
    connection.execute(_EMPTY, (PURGING, found[0]))
    connection.execute("DELETE FROM snapshots WHERE conversation = ?", found)
    connection.execute("DELETE FROM sizes WHERE conversation = ?", found)
    connection.execute("DELETE FROM read_marks WHERE conversation = ?", found)
    connection.execute("DELETE FROM shares WHERE conversation = ?", found)
    connection.execute("DELETE FROM uploads WHERE conversation = ?", found)
    connection.execute("DELETE FROM history_moves WHERE conversation = ?", found)
    connection.execute(
        "DELETE FROM state_entries WHERE state IN (SELECT key FROM states WHERE conversation = ? AND conversation > 0)",
        found,
    )
    return True


def _values(row: ConversationRow) -> tuple[_Value, ...]:
    """A row in the order of the columns."""
    repository = row.repository or Repository()
    return (
        *(row.id, row.owner, microseconds(row.created_at), microseconds(row.updated_at), row.version, row.title),
        *(row.trigger, row.initial_message, row.images_key, row.replay_key, repository.name or None),
        *(repository.url, repository.branch, repository.provider, row.checkout),
        *(None if row.imported is None else import_text(row.imported), row.forked_from, row.sandbox, row.archived),
        *(json_text(row.settings), None if row.began_with is None else json_text(row.began_with)),
    )


def _page(
    query: Callable[..., tuple[str, tuple[str | int, ...]]],
    limit: int,
    before: tuple[datetime, ConversationId] | None,
    connection: sqlite3.Connection,
) -> tuple[list[ConversationRow], list[DamagedRecord]]:
    """A page of whole rows, and what was passed over."""
    rows: list[ConversationRow] = []
    damaged: list[DamagedRecord] = []
    more = True
    while more and len(rows) < limit:
        asked = limit - len(rows)
        statement, values = query(before=before, limit=asked)
        found = connection.execute(statement, values).fetchall()
        for each in found:
            try:
                rows.append(_row(each))
            except DamagedRecord as error:
                damaged.append(error)
        more = len(found) == asked
        if more and len(rows) < limit:
            before = _place(found[-1])
    return rows, damaged


def _place(found: Sequence[Any]) -> tuple[datetime, ConversationId]:
    """Where a list goes on after a row, which may be damaged. Raises DamagedRecord."""
    last = dict(zip(ROW_COLUMNS, found, strict=False))
    try:
        return moment_of(last["created_at"]), ConversationId(last["id"])
    except (ValueError, TypeError, OverflowError):
        raise DamagedRecord.of("the list of conversations", str(last["id"])) from None


def _row(found: Sequence[Any]) -> ConversationRow:
    """Raises DamagedRecord."""
    *values, checksum = found
    row = dict(zip(ROW_COLUMNS, values, strict=True))
    damage = DamagedRecord.of("what is stored of this conversation besides its events", row["id"])
    if checksum not in (None, row_checksum(values)):
        raise damage
    name, url, branch, provider = (row.pop(column) for column in _REPOSITORY)
    shown = row["checkout"] or name or url or branch or provider
    try:
        return ConversationRow(
            **{column: _DECODED[column](value) if column in _DECODED else value for column, value in row.items()},
            repository=Repository(name=name or "", url=url, branch=branch, provider=provider) if shown else None,
        )
    except (ValueError, TypeError, KeyError, OverflowError):
        raise damage from None
