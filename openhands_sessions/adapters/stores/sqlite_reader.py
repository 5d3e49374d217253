"""Threads that read, and how they read a log in batches."""

import asyncio
import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TypeVar

from openhands_sessions.adapters.stores.condition import StoreCondition
from openhands_sessions.adapters.stores.encoding import BATCH_BYTES, BATCH_ENTRIES
from openhands_sessions.adapters.stores.sqlite_schema import LIVE, SPAN, connect_reader, unavailable
from openhands_sessions.core.errors import StorageError, StorageUnavailable
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.ids import ConversationId, EventId

T = TypeVar("T")

_THREADS = 3
_KINDS_KNOWN = 4096

KEY = f"(SELECT key FROM conversations WHERE id = :sid AND gone = {LIVE})"
"""None for a deleted conversation, so that nothing of it is found while its rows are still being removed."""

_RANGE = f"events WHERE key > {KEY} * {SPAN} + :after AND key < {KEY} * {SPAN} + :before ORDER BY key"
_ORDERS = {False: "ASC", True: "DESC"}

OUTLINE = {
    reverse: f"""SELECT group_concat(key & {SPAN - 1}), group_concat(form), group_concat(size)
        FROM (SELECT key, form, size FROM {_RANGE} {order} LIMIT :limit)"""
    for reverse, order in _ORDERS.items()
}
TEXTS = {
    reverse: f"SELECT CAST(group_concat(text, '') AS BLOB) FROM (SELECT text FROM {_RANGE} {order})"
    for reverse, order in _ORDERS.items()
}
"""By `reverse`. An aggregate sees the rows in the order of its ordered subquery; SQLite does not promise this, so the
results are checked."""


class ReaderPool:
    """Threads and connections are made when first needed, never more than three. No transaction outlives a call."""

    def __init__(self, path: Path, condition: StoreCondition) -> None:
        self._path = path
        self._condition = condition
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="session-store-reader")
        self._idle: list[sqlite3.Connection] = []
        self._shut = False

    async def call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on a thread. Raises StorageUnavailable where the database cannot be read."""
        if self._shut:
            raise StorageUnavailable("the store is closed")
        self._condition.check()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._work, work)
        except StorageUnavailable as error:
            self._condition.note_read(error)
            raise

    async def close(self) -> None:
        """Wait for the reads under way. Cancelled, it goes on by itself."""
        self._shut = True
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._close))

    def _work(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            connection = self._borrow()
            try:
                return work(connection)
            finally:
                self._idle.append(connection)
        except sqlite3.Error as error:
            raise unavailable(error) from error

    def _borrow(self) -> sqlite3.Connection:
        try:
            return self._idle.pop()
        except IndexError:
            return connect_reader(self._path)

    def _close(self) -> None:
        self._threads.shutdown()
        for connection in self._idle:
            connection.close()


class EventKinds:
    """Kind and schema by their number in `events`. A number once given never changes."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, int]] = {}

    def get(self, connection: sqlite3.Connection, form: str) -> tuple[str, int]:
        known = self._known.get(form)
        if known is None:
            if len(self._known) >= _KINDS_KNOWN:
                self._known.clear()
            known = connection.execute("SELECT kind, schema FROM forms WHERE id = ?", (int(form),)).fetchone()
            if known is None:
                raise StorageError("an event of the log has no kind: the database is damaged")
            self._known[form] = known
        return known


class LogReader:
    """Reads a log in batches. A batch costs statements of one row each, however many entries it has: a thread releases
    and takes the interpreter's lock once per row, which a busy event loop would delay. Between two batches it holds
    numbers only: no transaction, no connection."""

    def __init__(
        self,
        sid: ConversationId,
        kinds: EventKinds,
        *,
        after: int,
        before: int | None,
        reverse: bool,
        limit: int | None,
    ) -> None:
        self._sid = sid
        self._event_kinds = kinds
        self._after = max(after, -1)
        self._before = SPAN if before is None else min(before, SPAN)
        self._reverse = reverse
        self._left = limit
        self._more = limit is None or limit > 0
        self._ids: Sequence[int] = ()
        self._kinds: Sequence[str] = ()
        self._ends: Sequence[int] = ()
        self._at = 0

    @property
    def done(self) -> bool:
        return not self._more and self._at == len(self._ids)

    def next(self, connection: sqlite3.Connection) -> Sequence[Stored]:
        """The next batch, on a reader's thread; empty at the end. Raises StorageError for a damaged database."""
        if self._at == len(self._ids):
            self._look_ahead(connection)
        if not self._ids:
            return ()
        start, base = self._at, self._ends[self._at - 1] if self._at else 0
        self._at = max(start + 1, bisect_right(self._ends, base + BATCH_BYTES))
        texts = self._texts(connection, self._ids[start], self._ids[self._at - 1])
        if texts is None:  # deleted meanwhile
            self._more, self._at = False, len(self._ids)
            return ()
        if len(texts) != self._ends[self._at - 1] - base:
            raise StorageError("an event of the log has another length than it was given: the database is damaged")
        return self._batch(connection, start, base, texts)

    def _look_ahead(self, connection: sqlite3.Connection) -> None:
        """Find ids, kinds and sizes of the next entries, without reading their texts."""
        asked = BATCH_ENTRIES if self._left is None else min(self._left, BATCH_ENTRIES)
        ids, kinds, sizes = connection.execute(
            OUTLINE[self._reverse], {"sid": self._sid, "after": self._after, "before": self._before, "limit": asked}
        ).fetchone()
        self._at = 0
        self._ids = [int(id) for id in ids.split(",")] if ids else ()
        self._kinds = kinds.split(",") if kinds else ()
        self._ends = list(accumulate(int(size) for size in sizes.split(","))) if sizes else ()
        if any((a > b) != self._reverse for a, b in pairwise(self._ids)):
            raise StorageError("the database gave the log's entries in disorder")
        if self._left is not None:
            self._left -= len(self._ids)
        self._more = len(self._ids) == asked and self._left != 0
        if self._ids and self._reverse:
            self._before = self._ids[-1]
        elif self._ids:
            self._after = self._ids[-1]

    def _texts(self, connection: sqlite3.Connection, first: int, last: int) -> bytes | None:
        low, high = min(first, last), max(first, last)
        found: bytes | None = connection.execute(
            TEXTS[self._reverse], {"sid": self._sid, "after": low - 1, "before": high + 1}
        ).fetchone()[0]
        return found

    def _batch(self, connection: sqlite3.Connection, start: int, base: int, texts: bytes) -> Sequence[Stored]:
        batch, at = [], 0
        for index in range(start, self._at):
            end = self._ends[index] - base
            kind, schema = self._event_kinds.get(connection, self._kinds[index])
            batch.append(Stored(EventId(self._ids[index]), kind, schema, texts[at:end].decode()))
            at = end
        return batch
