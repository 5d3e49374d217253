"""The default kind: one SQLite file, one writing thread, at most three reading ones, for all conversations."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path

from openhands_sessions.adapters.stores.sqlite_log import SqliteLog
from openhands_sessions.adapters.stores.sqlite_readers import Readers
from openhands_sessions.adapters.stores.sqlite_reading import Forms
from openhands_sessions.adapters.stores.sqlite_rows import (
    SqliteConversations,
    SqliteSnapshots,
    held,
    next_term,
    release,
)
from openhands_sessions.adapters.stores.sqlite_writer import Writer
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.store import Conversations, Snapshots


class SqliteStore:
    """A SessionStore; made by `open_sqlite`."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers
        self._forms = Forms()
        self.conversations: Conversations = SqliteConversations(writer, readers)
        self.snapshots: Snapshots = SqliteSnapshots(writer, readers)

    def log(self, sid: ConversationId) -> SqliteLog:
        return SqliteLog(sid, self._writer, self._readers, self._forms)

    async def next_term(self, sid: ConversationId) -> int:
        return await self._writer.call(sid, partial(next_term, sid))

    async def release(self, sid: ConversationId, term: int, at: datetime) -> None:
        await self._writer.call(sid, partial(release, sid, term, at))

    async def held(self) -> Sequence[ConversationId]:
        return await self._readers.call(held)


@asynccontextmanager
async def open_sqlite(path: Path) -> AsyncIterator[SqliteStore]:
    """Open the database, and make it where there is none: its folder for its owner only, its file too.

    Other processes may have the same file open. Raises StorageError for a database that is not ours or newer than
    this version, StorageUnavailable where the file cannot be used.
    """
    writer = Writer(path)
    readers = Readers(path)
    try:
        await writer.ready()
        yield SqliteStore(writer, readers)
    finally:
        try:
            await readers.close()
        finally:
            await writer.close()
