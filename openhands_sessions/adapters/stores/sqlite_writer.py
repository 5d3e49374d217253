"""The one thread that writes. The event loop puts writes into its inbox; it takes all that wait as one group, stores
them in one transaction, and wakes the loop once for all of them."""

import asyncio
import os
import sqlite3
from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeAlias, TypeVar

from openhands_sessions.adapters.stores.append_buffer import Append, AppendBuffer
from openhands_sessions.adapters.stores.condition import StoreCondition
from openhands_sessions.adapters.stores.sqlite_schema import PURGED, PURGING, SPAN, connect_writer, unavailable
from openhands_sessions.adapters.stores.write_ahead_log import keep_lost_log
from openhands_sessions.core.errors import SessionsError, StorageError, StorageUnavailable
from openhands_sessions.core.ids import ConversationId

T = TypeVar("T")

_INBOX_BYTES = 64 * 1024 * 1024
_INBOX_ITEMS = 100_000
_GROUP_BYTES = 8 * 1024 * 1024
_GROUP_ITEMS = 2_000
_CALL_BYTES = 500
_PURGE_ROWS = 256
_PURGE_BYTES = 1024 * 1024
CHECKPOINT_BYTES = 256 * 1024
"""What is written between two checkpoints of ours; with its pages and indexes about three times as much."""
_UNSTORABLE = (sqlite3.Error, ValueError, TypeError, OverflowError)
"""What SQLite and its binding raise: the first for the disk and the schema, the others for a value."""


@dataclass(slots=True)
class StoreCall:
    """Any write but an append: `work` runs in the group's transaction, and raises our errors before it writes. `sid`
    is the conversation that it may change, if any."""

    future: asyncio.Future[Any]
    sid: ConversationId | None
    work: Callable[[sqlite3.Connection], Any]
    weight: int = _CALL_BYTES


Item: TypeAlias = Append | StoreCall


@dataclass(slots=True)
class WriteResult:
    """How a write went, on its way back to the event loop."""

    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None


class GroupCommit:
    """Used on the writer's thread only. Never raises for a failure of the disk or of a write."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._buffer = AppendBuffer(connection)
        self.purging = False
        """Whether rows of deleted conversations may be left; from an earlier process, once something is written, for
        until the database is checked, a flipped bit might have deleted a conversation."""
        self._since_checkpoint = 0

    def store(self, group: Sequence[Item]) -> list[WriteResult]:
        """Store all in one transaction; where that fails, each in one of its own: only the faulty write fails."""
        try:
            self._buffer.begin()
        except sqlite3.Error as error:
            self._roll_back()
            return [_refused(item, error) for item in group]
        try:
            results = [self._apply(item) for item in group]
            self._buffer.commit()
            self._since_checkpoint += sum(item.weight for item in group)
        except _UNSTORABLE as error:
            self._roll_back()
            if len(group) == 1:
                return [_refused(group[0], error)]
            return [result for item in group for result in self.store([item])]
        return results

    def checkpoint(self) -> None:
        """Move the write-ahead log into the database while nothing waits, in small pieces: SQLite's own checkpoint
        comes at a commit, which then takes some 15 ms."""
        if self._since_checkpoint >= CHECKPOINT_BYTES:
            self._since_checkpoint = 0
            with suppress(sqlite3.Error):  # SQLite's own is left
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def purge(self) -> None:
        """Remove one bounded piece of a deleted conversation, so that appends do not wait for all of it."""
        try:
            found = self._connection.execute(
                "SELECT key FROM conversations WHERE gone = ? LIMIT 1", (PURGING,)
            ).fetchone()
            if found is None:
                self.purging = False
                return
            self._buffer.begin()
            self._purge_piece(found[0])
            self._buffer.commit()
        except _UNSTORABLE:
            self._roll_back()
            self.purging = False  # tried again after the next call, or at the next start

    def _apply(self, item: Item) -> WriteResult:
        try:
            if isinstance(item, Append):
                self._buffer.append(item)
                return WriteResult(item.future)
            self._buffer.flush()
            result = item.work(self._connection)
            if item.sid is not None:
                self._buffer.forget(item.sid)
            self.purging = True
            return WriteResult(item.future, result)
        except SessionsError as error:
            return WriteResult(item.future, error=error)

    def _roll_back(self) -> None:
        """A failed ROLLBACK still ends the transaction: SQLite returns to autocommit before it touches the disk."""
        with suppress(sqlite3.Error):
            self._buffer.roll_back()

    def _purge_piece(self, key: int) -> None:
        run = self._connection.execute
        rows = run(
            "SELECT key, size FROM events WHERE key >= ? AND key < ? ORDER BY key LIMIT ?",
            (key * SPAN, (key + 1) * SPAN, _PURGE_ROWS),
        ).fetchall()
        if rows:
            ends = list(accumulate(size if isinstance(size, int) else 0 for _, size in rows))  # a bit may have flipped
            last = min(bisect_left(ends, _PURGE_BYTES), len(rows) - 1)
            run("DELETE FROM events WHERE key >= ? AND key <= ?", (rows[0][0], rows[last][0]))
            return
        some = "SELECT key FROM receipts WHERE conversation = ? LIMIT ?"
        removed = run(
            f"DELETE FROM receipts WHERE conversation = ? AND key IN ({some})", (key, key, _PURGE_ROWS)
        ).rowcount
        if not removed and not self._purge_state(key):
            run("UPDATE conversations SET gone = ? WHERE key = ?", (PURGED, key))

    def _purge_state(self, conversation: int) -> bool:
        """Whether something was left to remove."""
        run = self._connection.execute
        found = run("SELECT key FROM states WHERE conversation = ? AND conversation > 0", (conversation,)).fetchone()
        if found is None:
            return False
        first, end = found[0] * SPAN, (found[0] + 1) * SPAN
        some = "SELECT key FROM state_changes WHERE key >= ? AND key < ? ORDER BY key LIMIT ?"
        removed = run(f"DELETE FROM state_changes WHERE key IN ({some})", (first, end, _PURGE_ROWS)).rowcount
        if not removed:
            run("DELETE FROM states WHERE key = ?", found)
        return True


def _refused(item: Item, error: Exception) -> WriteResult:
    if isinstance(error, sqlite3.Error):
        return WriteResult(item.future, error=unavailable(error))
    return WriteResult(item.future, error=StorageError("the write holds a value that cannot be stored"))


class Writer:
    """Its thread starts when it is made; `close` must be awaited, also where `ready` has raised. For use on the event
    loop."""

    def __init__(self, path: Path, condition: StoreCondition, *, begun: bool = False) -> None:
        """`condition` records writes that fail; `begun` as `connect_writer` has it."""
        self._path = path
        self._condition = condition
        self._begun = begun
        self._loop = asyncio.get_running_loop()
        self._inbox: SimpleQueue[Item | None] = SimpleQueue()
        self._waiting_items = 0
        self._waiting_bytes = 0
        self._shut = False
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._in_hand: Sequence[Item] = ()
        self._thread = Thread(target=self._run, name="session-store-writer", daemon=True)
        self._thread.start()

    @property
    def idle(self) -> bool:
        """Whether no write waits or is under way."""
        return self._waiting_items == 0

    async def ready(self) -> None:
        """Raises StorageError where the database cannot be used."""
        await asyncio.shield(self._ready)

    async def close(self) -> None:
        """Wait until what was submitted is stored and the database is closed. Cancelled, the thread still does it."""
        self._shut = True
        self._inbox.put(None)
        await asyncio.shield(self._ended)
        self._thread.join()

    def submit(self, item: Item) -> None:
        """Queue a write; its future has the result. A single write larger than the bound passes when the queue is
        empty."""
        full = self._waiting_items >= _INBOX_ITEMS or self._waiting_bytes + item.weight > _INBOX_BYTES
        if self._shut or self._ended.done():
            item.future.set_exception(StorageUnavailable("the store is closed"))
        elif self._condition.damage is not None:
            item.future.set_exception(StorageUnavailable(self._condition.damage))
        elif full and self._waiting_items:
            item.future.set_exception(StorageUnavailable("too many writes are waiting for the disk"))
        else:
            self._waiting_items += 1
            self._waiting_bytes += item.weight
            self._inbox.put(item)

    async def call(
        self, sid: ConversationId | None, work: Callable[[sqlite3.Connection], T], weight: int = _CALL_BYTES
    ) -> T:
        """Do any other write in its place in the queue, durably. Raises what `work` raises, and StorageUnavailable."""
        future: asyncio.Future[T] = self._loop.create_future()
        self.submit(StoreCall(future, sid, work, weight))
        return await future

    def _run(self) -> None:
        """The thread's main function. However it ends, every waiting future is resolved."""
        reason: SessionsError = StorageUnavailable("the store's writer has ended")
        try:
            lost = keep_lost_log(self._path)
            with closing(connect_writer(self._path, begun=self._begun)) as connection:
                if lost is not None:
                    self._loop.call_soon_threadsafe(self._condition.note_lost, lost)
                self._loop.call_soon_threadsafe(self._ready.set_result, None)
                self._serve(GroupCommit(connection))
        except SessionsError as error:
            reason = error
        except (OSError, sqlite3.Error) as error:
            reason = unavailable(error)
        finally:
            self._loop.call_soon_threadsafe(self._finish, reason)

    def _serve(self, commit: GroupCommit) -> None:
        more = True
        while more:
            self._in_hand, more = self._take(wait=not commit.purging)
            if self._in_hand:
                results = commit.store(self._in_hand)
                self._tell()
                self._loop.call_soon_threadsafe(self._resolve, results, sum(item.weight for item in self._in_hand))
                self._in_hand = ()
            if commit.purging:
                commit.purge()
            elif self._inbox.empty():
                commit.checkpoint()

    def _tell(self) -> None:
        """Touch the write-ahead log, for those who watch the files: what was written to it before is in no reader's
        view until the commit is over."""
        with suppress(OSError):
            os.utime(f"{self._path}-wal")

    def _take(self, *, wait: bool) -> tuple[list[Item], bool]:
        """All that waits, up to a bound, and whether more may follow."""
        group: list[Item] = []
        weight = 0
        try:
            while len(group) < _GROUP_ITEMS and weight < _GROUP_BYTES:
                item = self._inbox.get(block=wait and not group)
                if item is None:
                    return group, False
                group.append(item)
                weight += item.weight
        except Empty:
            pass
        return group, True

    def _resolve(self, results: Sequence[WriteResult], weight: int) -> None:
        """On the loop: resolve the futures that are still pending."""
        self._waiting_items -= len(results)
        self._waiting_bytes -= weight
        for result in results:
            if isinstance(result.error, StorageUnavailable):
                self._condition.note_write(result.error)
            if result.future.done():
                continue
            if result.error is None:
                result.future.set_result(result.result)
            else:
                result.future.set_exception(result.error)

    def _finish(self, reason: SessionsError) -> None:
        """On the loop, when the thread ends: refuse what is left."""
        left = [*self._in_hand]
        while not self._inbox.empty():
            item = self._inbox.get_nowait()
            if item is not None:
                left.append(item)
        if not self._ready.done():
            self._ready.set_exception(reason)
        elif not self._shut and isinstance(reason, StorageUnavailable):
            self._condition.note_write(reason)
        for item in left:
            if not item.future.done():
                item.future.set_exception(reason)
        self._ended.set_result(None)
