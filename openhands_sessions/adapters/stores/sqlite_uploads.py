"""Trajectories that are to be saved elsewhere, in SQLite."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from openhands_sessions.adapters.stores.encoding import microseconds, moment_of
from openhands_sessions.adapters.stores.sqlite_reader import ReaderPool
from openhands_sessions.adapters.stores.sqlite_schema import LIVE
from openhands_sessions.adapters.stores.sqlite_writer import Writer
from openhands_sessions.core.ids import ConversationId, EventId
from openhands_sessions.ports.trajectories import PendingUpload


class SqliteUploads:
    """One row for each conversation that was ever to be saved. No checksum covers it: at worst, one is saved again."""

    def __init__(self, writer: Writer, readers: ReaderPool) -> None:
        self._writer = writer
        self._readers = readers

    async def put(self, sid: ConversationId, head: EventId, at: datetime) -> None:
        await self._writer.call(None, partial(_put, sid, head, microseconds(at)))

    async def pending(self, limit: int) -> Sequence[PendingUpload]:
        return await self._readers.call(partial(_pending, limit))

    async def postpone(self, upload: PendingUpload, at: datetime) -> None:
        await self._writer.call(None, partial(_postpone, upload, microseconds(at)))

    async def done(self, upload: PendingUpload) -> None:
        await self._writer.call(None, partial(_done, upload))


_KEY = f"(SELECT key FROM conversations WHERE id = ? AND gone = {LIVE})"


def _put(sid: ConversationId, head: EventId, at: int, connection: sqlite3.Connection) -> None:
    connection.execute(
        f"INSERT INTO uploads SELECT key, ?, -1, 0, ? FROM conversations WHERE id = ? AND gone = {LIVE}"
        " ON CONFLICT (conversation) DO UPDATE SET head = excluded.head, tries = 0, next_at = excluded.next_at"
        " WHERE excluded.head > head",
        (head, at, sid),
    )


def _pending(limit: int, connection: sqlite3.Connection) -> Sequence[PendingUpload]:
    found = connection.execute(
        "SELECT id, head, tries, next_at FROM uploads JOIN conversations ON conversation = conversations.key"
        f" WHERE head > saved AND gone = {LIVE} ORDER BY next_at, conversation LIMIT ?",
        (limit,),
    ).fetchall()
    return [PendingUpload(ConversationId(sid), EventId(head), tries, moment_of(at)) for sid, head, tries, at in found]


def _postpone(upload: PendingUpload, at: int, connection: sqlite3.Connection) -> None:
    connection.execute(
        f"UPDATE uploads SET tries = ?, next_at = ? WHERE conversation = {_KEY} AND head = ?",
        (upload.tries + 1, at, upload.conversation, upload.head),
    )


def _done(upload: PendingUpload, connection: sqlite3.Connection) -> None:
    connection.execute(
        f"UPDATE uploads SET saved = max(saved, ?) WHERE conversation = {_KEY}", (upload.head, upload.conversation)
    )
