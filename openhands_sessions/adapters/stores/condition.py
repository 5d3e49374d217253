"""Whether the database is sound and takes writes: found out as it is opened and used, and told on."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from openhands_sessions.adapters.stores.sqlite_schema import (
    LIVE,
    PURGED,
    SPAN,
    connect_reader,
    corruption,
    damaged,
    unavailable,
)
from openhands_sessions.core.errors import DamagedRecord, StorageError, StorageUnavailable

log = structlog.get_logger(__name__)

PROBE_SECONDS = 2.0
"""Between two probes of a disk that refuses writes."""
_CHECK_SECONDS = 0.25
"""How long opening waits for the check of the whole database; a large one is checked in the background."""
_INTERRUPT_SECONDS = 0.05
_HEADING = "*** in database main ***"
_TOLD_AT_MOST = 10_000
_FIRST_OF_EACH_LOG = f"""WITH RECURSIVE firsts(key) AS (
    SELECT min(key) FROM events
    UNION ALL
    SELECT (SELECT min(key) FROM events WHERE key >= (firsts.key / {SPAN} + 1) * {SPAN})
    FROM firsts WHERE firsts.key IS NOT NULL)"""
ASTRAY = f"""{_FIRST_OF_EACH_LOG}
SELECT count(*) FROM firsts LEFT JOIN conversations ON conversations.key = firsts.key / {SPAN}
WHERE firsts.key IS NOT NULL AND (conversations.key IS NULL OR conversations.gone = {PURGED}
    OR (conversations.gone = {LIVE} AND firsts.key % {SPAN} <> 0))"""
"""How many logs do not begin with their first event, or belong to no conversation: a flipped bit in a key has moved an
event out of the log that it was in, which shows no gap. One look into the tree for each log."""
_FAULTY_VALUES = (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.ProgrammingError)


class StoreCondition:
    """One line in the log for each change, whatever number of calls fail. For use on the event loop."""

    def __init__(self) -> None:
        self.damage: str | None = None
        """What is wrong with the database itself. Until it is opened anew, nothing is read from it or written to it: a
        damaged index answers that there is nothing."""
        self.failing = asyncio.Event()
        """Set from a write that the disk refused until a probe is stored."""
        self.works = asyncio.Event()
        """Set while there is no problem."""
        self.works.set()
        self._refusal: str | None = None
        self._told: set[str | None] = set()

    @property
    def problem(self) -> str | None:
        """Why nothing can be stored now."""
        return self.damage or self._refusal

    def check(self) -> None:
        """Raises StorageUnavailable for a damaged database."""
        if self.damage is not None:
            raise StorageUnavailable(self.damage)

    def note_record(self, error: DamagedRecord) -> None:
        """Of one conversation something is damaged: told once."""
        if error.conversation not in self._told and len(self._told) < _TOLD_AT_MOST:
            self._told.add(error.conversation)
            log.error("a conversation is damaged", conversation_id=error.conversation, problem=error.message)

    def note_lost(self, problem: str) -> None:
        """The write-ahead log has lost commits."""
        self.damage = problem
        self.works.clear()
        log.error("the database has lost what it acknowledged, and is not used", problem=problem)

    def note_read(self, error: StorageUnavailable) -> None:
        """A read failed."""
        if isinstance(error.__cause__, sqlite3.Error) and damaged(error.__cause__) and self.damage is None:
            self.damage = error.message
            self.failing.clear()
            self.works.clear()
            log.error("the database is damaged, and is not used", problem=error.message)

    def note_write(self, error: StorageUnavailable) -> None:
        """A write failed. One whose own value was at fault says nothing of the database."""
        self.note_read(error)
        if self.problem is None and not isinstance(error.__cause__, _FAULTY_VALUES):
            self._refusal = error.message
            self.failing.set()
            self.works.clear()
            log.error("nothing can be stored", problem=error.message)

    def recovered(self) -> None:
        """A probe was stored."""
        self._refusal = None
        self.failing.clear()
        if self.damage is None:
            self.works.set()
        log.info("what is written is stored again")


@asynccontextmanager
async def probing(
    condition: StoreCondition, probe: Callable[[], Awaitable[None]], every: float = PROBE_SECONDS
) -> AsyncIterator[None]:
    """For the length of the block: while the disk refuses writes, call `probe` until it is stored. A server that is not
    ready gets no requests, so no other write would find out."""

    async def run() -> None:
        while True:
            await condition.failing.wait()
            await asyncio.sleep(every)
            try:
                await probe()
            except StorageError:
                continue
            condition.recovered()

    task = asyncio.create_task(run(), name="probe the store")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def checked(path: Path, condition: StoreCondition) -> AsyncIterator[None]:
    """Check the rows of conversations before the block, since a list is read from them, and everything else while it
    lasts. Raises StorageUnavailable where the database cannot be opened."""
    try:
        connection = await asyncio.to_thread(connect_reader, path)
    except sqlite3.Error as error:
        raise unavailable(error) from error
    rows_are_checked = asyncio.Event()

    async def run() -> None:
        try:
            # The thorough check: through an index that misses a row, the row is not found.
            await _check(connection, "integrity_check(conversations)", condition)
            rows_are_checked.set()
            await _check(connection, "quick_check(1)", condition)
            await _check_logs(connection, condition)
        finally:
            rows_are_checked.set()

    task = asyncio.create_task(run(), name="check the store")
    try:
        await rows_are_checked.wait()
        await asyncio.wait([task], timeout=_CHECK_SECONDS)
        yield
    finally:
        while not task.done():  # an interrupt before the statement begins has no effect
            connection.interrupt()
            await asyncio.wait([task], timeout=_INTERRUPT_SECONDS)
        connection.close()


async def _check(connection: sqlite3.Connection, pragma: str, condition: StoreCondition) -> None:
    await _look(connection, f"PRAGMA {pragma}", "ok", condition)


async def _check_logs(connection: sqlite3.Connection, condition: StoreCondition) -> None:
    await _look(connection, ASTRAY, 0, condition)


async def _look(connection: sqlite3.Connection, query: str, sound: str | int, condition: StoreCondition) -> None:
    try:
        [found] = await asyncio.to_thread(lambda: connection.execute(query).fetchone())
        if found != sound:
            raise corruption(damage_told(found))
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            log.warning("the database could not be checked", problem=unavailable(error).message)
    except sqlite3.DatabaseError as error:
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        condition.note_read(unavailable(error))


def damage_told(found: object) -> str:
    """What a check of the database answered, in one line."""
    if isinstance(found, int):
        return f"{found} logs have events that belong elsewhere"
    return " ".join(str(found).removeprefix(_HEADING).split())
