"""One conversation's log in SQLite."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from functools import partial

from openhands_sessions.adapters.stores.entries import size_of, sizes_of
from openhands_sessions.adapters.stores.sqlite_ledger import Append, newest
from openhands_sessions.adapters.stores.sqlite_readers import Readers
from openhands_sessions.adapters.stores.sqlite_reading import KEY, Forms, Reading
from openhands_sessions.adapters.stores.sqlite_schema import LIVE
from openhands_sessions.adapters.stores.sqlite_writer import Writer
from openhands_sessions.core.errors import BadInput, SessionsError
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.ids import ConversationId, EventId
from openhands_sessions.ports.store import Receipt

_APPEND_BYTES = 500
"""What an append weighs besides its texts."""


class SqliteLog:
    """Cheap to make: what is worth remembering is remembered by the writer."""

    def __init__(self, sid: ConversationId, writer: Writer, readers: Readers, forms: Forms) -> None:
        self._sid = sid
        self._writer = writer
        self._readers = readers
        self._forms = forms

    async def head(self) -> EventId:
        return await self._readers.call(self._head)

    def append(
        self, entries: Sequence[Stored], *, expected: int, term: int, receipt: Receipt | None = None
    ) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            sizes = sizes_of(entries, expected=expected, receipt=receipt)
        except SessionsError as error:
            future.set_exception(error)
        else:
            weight = sum(sizes) + _APPEND_BYTES
            self._writer.submit(Append(future, self._sid, entries, sizes, expected, term, receipt, weight))
        return future

    async def read(
        self, after: int = -1, *, before: int | None = None, reverse: bool = False, limit: int | None = None
    ) -> AsyncIterator[Sequence[Stored]]:
        reading = Reading(self._sid, self._forms, after=after, before=before, reverse=reverse, limit=limit)
        while not reading.done:
            if batch := await self._readers.call(reading.next):
                yield batch

    async def receipt(self, key: str) -> Receipt | None:
        try:
            size_of("key", key)
        except BadInput:
            return None
        return await self._readers.call(partial(self._receipt, key))

    def _head(self, connection: sqlite3.Connection) -> EventId:
        row = connection.execute(
            "SELECT key FROM conversations WHERE id = ? AND gone = ?", (self._sid, LIVE)
        ).fetchone()
        return EventId(-1 if row is None else newest(connection, row[0]))

    def _receipt(self, key: str, connection: sqlite3.Connection) -> Receipt | None:
        row = connection.execute(
            f"SELECT digest, event FROM receipts WHERE conversation = {KEY} AND key = :key",
            {"sid": self._sid, "key": key},
        ).fetchone()
        return None if row is None else Receipt(key=key, digest=row[0], event=EventId(row[1]))
