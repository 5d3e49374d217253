"""Threads that read."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from openhands_sessions.adapters.stores.condition import StoreCondition
from openhands_sessions.adapters.stores.sqlite_schema import connect_reader, unavailable
from openhands_sessions.core.errors import DamagedRecord, StorageError, StorageUnavailable

T = TypeVar("T")

_THREADS = 3


class ReaderPool:
    """Threads and connections are made when first needed, never more than three. No transaction outlives a call."""

    def __init__(self, path: Path, condition: StoreCondition) -> None:
        self.condition = condition
        self._path = path
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="session-store-reader")
        self._idle: list[sqlite3.Connection] = []
        self._shut = False

    async def call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on a thread. Raises StorageUnavailable where the database cannot be read, and what `work`
        raises."""
        if self._shut:
            raise StorageUnavailable("the store is closed")
        self.condition.check()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._work, work)
        except StorageUnavailable as error:
            self.condition.note_read(error)
            raise
        except DamagedRecord as error:
            self.condition.note_record(error)
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
        except (ValueError, TypeError, OverflowError) as error:
            raise StorageError("the database holds a value that SQLite did not write: see store check") from error

    def _borrow(self) -> sqlite3.Connection:
        try:
            return self._idle.pop()
        except IndexError:
            return connect_reader(self._path)

    def _close(self) -> None:
        self._threads.shutdown()
        for connection in self._idle:
            connection.close()
