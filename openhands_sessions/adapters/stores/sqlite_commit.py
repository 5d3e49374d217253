"""Group commit: many writes, one transaction, and each of them answered for itself."""

import asyncio
import sqlite3
from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeAlias

from openhands_sessions.adapters.stores.sqlite_ledger import Append, Ledger
from openhands_sessions.adapters.stores.sqlite_schema import PURGED, PURGING, SPAN, unavailable
from openhands_sessions.core.errors import SessionsError, StorageError
from openhands_sessions.core.ids import ConversationId

JOB_BYTES = 500

_PURGE_ROWS = 256
_PURGE_BYTES = 1024 * 1024
_UNSTORABLE = (sqlite3.Error, ValueError, OverflowError)
"""What SQLite and its binding raise: the first for the disk and the schema, the others for a value."""


@dataclass(slots=True)
class Job:
    """Any write but an append: `work` runs in the group's transaction, and raises our errors before it writes."""

    future: asyncio.Future[Any]
    sid: ConversationId
    work: Callable[[sqlite3.Connection], Any]
    weight: int = JOB_BYTES


Item: TypeAlias = Append | Job


@dataclass(slots=True)
class Outcome:
    """How a write went, on its way back to the event loop."""

    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None


class GroupCommit:
    """Lives on the writer's thread. Never raises for what the disk or a write does."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._ledger = Ledger(connection)
        self.purging = True
        """Whether deleted conversations may have left rows behind; at the start, from an earlier life."""

    def store(self, group: Sequence[Item]) -> list[Outcome]:
        """One transaction for all. Where that is refused, one for each: what cannot be stored fails alone."""
        try:
            self._ledger.begin()
        except sqlite3.Error as error:
            self._roll_back()
            return [_refused(item, error) for item in group]
        try:
            outcomes = [self._apply(item) for item in group]
            self._ledger.commit()
        except _UNSTORABLE as error:
            self._roll_back()
            if len(group) == 1:
                return [_refused(group[0], error)]
            return [outcome for item in group for outcome in self.store([item])]
        return outcomes

    def purge(self) -> None:
        """Remove one bounded piece of a deleted conversation, so that appends wait a moment and not for all of it."""
        try:
            found = self._connection.execute(
                "SELECT key FROM conversations WHERE gone = ? LIMIT 1", (PURGING,)
            ).fetchone()
            if found is None:
                self.purging = False
                return
            self._ledger.begin()
            self._purge_piece(found[0])
            self._ledger.commit()
        except sqlite3.Error:
            self._roll_back()
            self.purging = False  # taken up again after the next write of this sort, or by the next start

    def _apply(self, item: Item) -> Outcome:
        try:
            if isinstance(item, Append):
                self._ledger.append(item)
                return Outcome(item.future)
            self._ledger.flush()
            result = item.work(self._connection)
            self._ledger.forget(item.sid)
            self.purging = True
            return Outcome(item.future, result)
        except SessionsError as error:
            return Outcome(item.future, error=error)

    def _roll_back(self) -> None:
        """A failed ROLLBACK still ends the transaction: SQLite returns to autocommit before it touches the disk."""
        with suppress(sqlite3.Error):
            self._ledger.roll_back()

    def _purge_piece(self, key: int) -> None:
        run = self._connection.execute
        rows = run(
            "SELECT key, size FROM events WHERE key >= ? AND key < ? ORDER BY key LIMIT ?",
            (key * SPAN, (key + 1) * SPAN, _PURGE_ROWS),
        ).fetchall()
        if rows:
            ends = list(accumulate(size for _, size in rows))
            last = min(bisect_left(ends, _PURGE_BYTES), len(rows) - 1)
            run("DELETE FROM events WHERE key >= ? AND key <= ?", (rows[0][0], rows[last][0]))
            return
        some = "SELECT key FROM receipts WHERE conversation = ? LIMIT ?"
        removed = run(
            f"DELETE FROM receipts WHERE conversation = ? AND key IN ({some})", (key, key, _PURGE_ROWS)
        ).rowcount
        if not removed:
            run("UPDATE conversations SET gone = ? WHERE key = ?", (PURGED, key))


def _refused(item: Item, error: Exception) -> Outcome:
    if isinstance(error, sqlite3.Error):
        return Outcome(item.future, error=unavailable(error))
    return Outcome(item.future, error=StorageError("the write holds a value that cannot be stored"))
