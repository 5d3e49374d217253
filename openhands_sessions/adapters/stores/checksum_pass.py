"""Gives the events of earlier versions their checksums, while nothing else is to be written."""

import asyncio
import sqlite3
from bisect import bisect_left
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import accumulate
from typing import Any

import structlog

from openhands_sessions.adapters.stores.checksums import event_checksum
from openhands_sessions.adapters.stores.log_reader import EventKinds
from openhands_sessions.adapters.stores.sqlite_writer import Writer
from openhands_sessions.core.errors import StorageError

log = structlog.get_logger(__name__)

_ROWS = 256
_BYTES = 1024 * 1024
_PAUSES = 4
"""How many times as long as a piece the pause after it takes: the disk is for others too."""
_BUSY_PAUSE = 0.05
_RETRY_SECONDS = 60.0


@asynccontextmanager
async def completing(writer: Writer) -> AsyncIterator[None]:
    """For the length of the block, or until all have one: small transactions, and none while other writes wait."""
    task = asyncio.create_task(_complete(writer), name="complete checksums")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _complete(writer: Writer) -> None:
    clock, kinds, counted = asyncio.get_running_loop().time, EventKinds(), 0
    while True:
        if not writer.idle:
            await asyncio.sleep(_BUSY_PAUSE)
            continue
        begun = clock()
        try:
            done = await writer.call(None, lambda connection: complete_piece(connection, kinds))
        except StorageError:
            await asyncio.sleep(_RETRY_SECONDS)  # the store tells of it
            continue
        if done is None:
            break
        counted += done
        await asyncio.sleep(_PAUSES * (clock() - begun))
    if counted:
        log.info("every event has its checksum", events=counted)


def complete_piece(connection: sqlite3.Connection, kinds: EventKinds) -> int | None:
    """Seals the next piece and gives the number of events sealed; None at the end of the table. Visibly damaged events
    are left unsealed."""
    run = connection.execute
    place = run("SELECT next FROM checksum_pass").fetchone()
    if place is None:
        return None
    rows = run("SELECT key, size FROM events WHERE key >= ? ORDER BY key LIMIT ?", (place[0], _ROWS)).fetchall()
    if not rows:
        run("DELETE FROM checksum_pass")
        return None
    ends = list(accumulate(size if isinstance(size, int) else 0 for _, size in rows))
    last = rows[min(bisect_left(ends, _BYTES), len(rows) - 1)][0]
    piece = run(
        "SELECT key, form, size, CAST(text AS BLOB) FROM events WHERE key >= ? AND key <= ? AND checksum IS NULL",
        (place[0], last),
    ).fetchall()
    made = [(made, row[0]) for row in piece if (made := _checksum(connection, kinds, row)) is not None]
    connection.executemany("UPDATE events SET checksum = ? WHERE key = ?", made)
    run("UPDATE checksum_pass SET next = ?", (last + 1,))
    return len(made)


def _checksum(connection: sqlite3.Connection, kinds: EventKinds, row: Sequence[Any]) -> int | None:
    key, form, size, text = row
    known = kinds.get(connection, form) if isinstance(form, int) else None
    if known is None or not isinstance(text, bytes) or size != len(text):
        return None
    try:
        text.decode()
    except UnicodeDecodeError:
        return None
    return event_checksum(known[2], key, text)
