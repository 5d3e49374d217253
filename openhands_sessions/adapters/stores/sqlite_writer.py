"""The one thread that writes. The event loop puts writes into its inbox; it takes all that wait as one group, stores
them, and wakes the loop once for all of them."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar

from openhands_sessions.adapters.stores.sqlite_commit import GroupCommit, Item, Job, Outcome
from openhands_sessions.adapters.stores.sqlite_schema import connect_writer, unavailable
from openhands_sessions.core.errors import SessionsError, StorageUnavailable
from openhands_sessions.core.ids import ConversationId

T = TypeVar("T")

_INBOX_BYTES = 64 * 1024 * 1024
_INBOX_ITEMS = 100_000
_GROUP_BYTES = 8 * 1024 * 1024
_GROUP_ITEMS = 2_000


class Writer:
    """Starts when made; `close` must be awaited, also where `ready` has raised. Its methods belong to the loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
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
        """Put a write into the line; its future says how it went. A single write larger than the bound may pass
        when it is alone."""
        full = self._waiting_items >= _INBOX_ITEMS or self._waiting_bytes + item.weight > _INBOX_BYTES
        if self._shut or self._ended.done():
            item.future.set_exception(StorageUnavailable("the store is closed"))
        elif full and self._waiting_items:
            item.future.set_exception(StorageUnavailable("too many writes are waiting for the disk"))
        else:
            self._waiting_items += 1
            self._waiting_bytes += item.weight
            self._inbox.put(item)

    async def call(self, sid: ConversationId, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do any other write in its place in the line, durably. Raises what `work` raises, and StorageUnavailable."""
        future: asyncio.Future[T] = self._loop.create_future()
        self.submit(Job(future, sid, work))
        return await future

    def _run(self) -> None:
        """The thread's whole life. However it ends, nobody is left waiting."""
        reason: SessionsError = StorageUnavailable("the store's writer has ended")
        try:
            with closing(connect_writer(self._path)) as connection:
                self._loop.call_soon_threadsafe(self._open)
                self._serve(GroupCommit(connection))
        except SessionsError as error:
            reason = error
        except sqlite3.Error as error:
            reason = unavailable(error)
        finally:
            self._loop.call_soon_threadsafe(self._finish, reason)

    def _serve(self, commit: GroupCommit) -> None:
        more = True
        while more:
            self._in_hand, more = self._take(wait=not commit.purging)
            if self._in_hand:
                outcomes = commit.store(self._in_hand)
                self._loop.call_soon_threadsafe(self._resolve, outcomes, sum(item.weight for item in self._in_hand))
                self._in_hand = ()
            if commit.purging:
                commit.purge()

    def _take(self, *, wait: bool) -> tuple[list[Item], bool]:
        """All that waits, up to a bound. False with it: nothing will follow."""
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

    def _open(self) -> None:
        self._ready.set_result(None)

    def _resolve(self, outcomes: Sequence[Outcome], weight: int) -> None:
        """On the loop: tell everybody who still waits."""
        self._waiting_items -= len(outcomes)
        self._waiting_bytes -= weight
        for outcome in outcomes:
            if outcome.future.done():
                continue
            if outcome.error is None:
                outcome.future.set_result(outcome.result)
            else:
                outcome.future.set_exception(outcome.error)

    def _finish(self, reason: SessionsError) -> None:
        """On the loop, the thread's last word."""
        left = [*self._in_hand]
        while not self._inbox.empty():
            item = self._inbox.get_nowait()
            if item is not None:
                left.append(item)
        self._resolve([Outcome(item.future, error=reason) for item in left], 0)
        if not self._ready.done():
            self._ready.set_exception(reason)
        self._ended.set_result(None)
