"""The rows of conversations and their snapshots in SQLite."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from openhands_sessions.adapters.stores.entries import (
    check_row,
    microseconds,
    moment_of,
    settings_of,
    settings_text,
    size_of,
)
from openhands_sessions.adapters.stores.sqlite_readers import Readers
from openhands_sessions.adapters.stores.sqlite_schema import LIVE, PURGING
from openhands_sessions.adapters.stores.sqlite_writer import Writer
from openhands_sessions.core.errors import AlreadyExists, NotFound
from openhands_sessions.core.ids import ConversationId, EventId, OwnerId
from openhands_sessions.ports.store import ConversationRow, Snapshot

_ROW = f"SELECT id, owner, created_at, updated_at, title, trigger, settings FROM conversations WHERE gone = {LIVE}"


class SqliteConversations:
    """One row per conversation, also for a deleted one: then it holds the id and nothing else."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def create(self, row: ConversationRow) -> None:
        check_row(row)
        await self._writer.call(row.id, partial(_create, row))

    async def get(self, sid: ConversationId) -> ConversationRow | None:
        rows = await self._readers.call(partial(_select, f"{_ROW} AND id = ?", (sid,)))
        return rows[0] if rows else None

    async def page(
        self, owner: OwnerId | None, *, limit: int, before: tuple[datetime, ConversationId] | None = None
    ) -> Sequence[ConversationRow]:
        query, values = page_query(owner, limit=limit, before=before)
        return await self._readers.call(partial(_select, query, values))

    async def update(self, row: ConversationRow) -> None:
        check_row(row)
        await self._writer.call(row.id, partial(_update, row))

    async def delete(self, sid: ConversationId) -> bool:
        """Gone for everybody when it returns; the writer then removes the entries piece by piece, also after a
        restart."""
        return await self._writer.call(sid, partial(_delete, sid))


class SqliteSnapshots:
    """The newest snapshot of each conversation."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def load(self, sid: ConversationId) -> Snapshot | None:
        return await self._readers.call(partial(_load, sid))

    async def save(self, sid: ConversationId, snapshot: Snapshot) -> None:
        size_of("text", snapshot.text)
        await self._writer.call(sid, partial(_save, sid, snapshot))


def page_query(
    owner: OwnerId | None, *, limit: int, before: tuple[datetime, ConversationId] | None
) -> tuple[str, tuple[str | int, ...]]:
    """The statement of one page and its values: a walk along an index, whatever is asked."""
    query, values = _ROW, tuple[str | int, ...]()
    if owner is not None:
        query, values = f"{query} AND owner = ?", (owner,)
    if before is not None:
        query, values = f"{query} AND (created_at, id) < (?, ?)", (*values, microseconds(before[0]), before[1])
    return f"{query} ORDER BY created_at DESC, id DESC LIMIT ?", (*values, max(limit, 0))


def next_term(sid: ConversationId, connection: sqlite3.Connection) -> int:
    """Raises NotFound."""
    taken = connection.execute(
        "UPDATE conversations SET term = term + 1, held = 1 WHERE id = ? AND gone = ?", (sid, LIVE)
    )
    if not taken.rowcount:
        raise NotFound("conversation", sid)
    return int(connection.execute("SELECT term FROM conversations WHERE id = ?", (sid,)).fetchone()[0])


def release(sid: ConversationId, term: int, at: datetime, connection: sqlite3.Connection) -> None:
    """Nothing where a newer owner has it."""
    connection.execute(
        "UPDATE conversations SET held = 0, updated_at = ? WHERE id = ? AND term = ? AND gone = ?",
        (microseconds(at), sid, term, LIVE),
    )


def held(connection: sqlite3.Connection) -> Sequence[ConversationId]:
    """Conversations that were taken and not given back."""
    found = connection.execute("SELECT id FROM conversations WHERE held = 1 AND gone = 0 ORDER BY key")
    return [ConversationId(row[0]) for row in found]


def _create(row: ConversationRow, connection: sqlite3.Connection) -> None:
    created = connection.execute(
        "INSERT OR IGNORE INTO conversations (id, owner, created_at, updated_at, title, trigger, settings)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            row.id,
            row.owner,
            microseconds(row.created_at),
            microseconds(row.updated_at),
            row.title,
            row.trigger,
            settings_text(row.settings),
        ),
    )
    if not created.rowcount:
        raise AlreadyExists(f"the conversation id {row.id!r} is taken")


def _update(row: ConversationRow, connection: sqlite3.Connection) -> None:
    updated = connection.execute(
        "UPDATE conversations SET owner = ?, title = ?, settings = ?, updated_at = ? WHERE id = ? AND gone = ?",
        (row.owner, row.title, settings_text(row.settings), microseconds(row.updated_at), row.id, LIVE),
    )
    if not updated.rowcount:
        raise NotFound("conversation", row.id)


def _delete(sid: ConversationId, connection: sqlite3.Connection) -> bool:
    found = connection.execute("SELECT key FROM conversations WHERE id = ? AND gone = ?", (sid, LIVE)).fetchone()
    if found is None:
        return False
    connection.execute(
        "UPDATE conversations SET owner = '', created_at = 0, updated_at = 0, title = NULL, trigger = '',"
        " settings = '{}', gone = ? WHERE key = ?",
        (PURGING, found[0]),
    )
    connection.execute("DELETE FROM snapshots WHERE conversation = ?", found)
    return True


def _select(query: str, values: tuple[str | int, ...], connection: sqlite3.Connection) -> list[ConversationRow]:
    return [
        ConversationRow(
            id=ConversationId(id),
            owner=OwnerId(owner),
            created_at=moment_of(created_at),
            updated_at=moment_of(updated_at),
            title=title,
            trigger=trigger,
            settings=settings_of(settings),
        )
        for id, owner, created_at, updated_at, title, trigger, settings in connection.execute(query, values).fetchall()
    ]


def _load(sid: ConversationId, connection: sqlite3.Connection) -> Snapshot | None:
    row = connection.execute(
        "SELECT head, version, text FROM snapshots"
        " WHERE conversation = (SELECT key FROM conversations WHERE id = ? AND gone = ?)",
        (sid, LIVE),
    ).fetchone()
    return None if row is None else Snapshot(head=EventId(row[0]), version=row[1], text=row[2])


def _save(sid: ConversationId, snapshot: Snapshot, connection: sqlite3.Connection) -> None:
    """A deleted conversation takes none."""
    connection.execute(
        "INSERT OR REPLACE INTO snapshots SELECT key, ?, ?, ? FROM conversations WHERE id = ? AND gone = ?",
        (snapshot.head, snapshot.version, snapshot.text, sid, LIVE),
    )
