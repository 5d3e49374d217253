"""Leases between processes: one that lives, one that was killed, and one that stands still."""

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from openhands_sessions.adapters.stores.leases import Holder
from openhands_sessions.adapters.stores.sqlite import SqliteStore, open_sqlite
from openhands_sessions.core.errors import OwnedElsewhere
from tests.support.processes import alive
from tests.support.store_entries import NOW, TALK, entries, ids, read, row

LONG_TTL, SHORT_TTL = 600.0, 1.0


class Process:
    """A lease holder."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.term = 0
        self.child: int | None = None

    async def said(self) -> str:
        assert self._process.stdout is not None
        async with asyncio.timeout(30):
            return (await self._process.stdout.readline()).decode().strip()

    async def claimed(self) -> None:
        term, child = (await self.said()).split()
        self.term, self.child = int(term), None if child == "None" else int(child)

    async def append(self) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        return await self.said()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    async def killed(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def holding(path: Path, ttl: float, *options: str) -> AsyncIterator[Process]:
    program = ("-m", "tests.unit.stores.lease_holder", str(path), str(ttl), *options)
    process = Process(
        await asyncio.create_subprocess_exec(
            sys.executable, *program, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
    )
    try:
        await process.claimed()
        yield process
    finally:
        await process.killed()
        if process.child is not None:
            os.kill(process.child, signal.SIGKILL)


async def until_held(store: SqliteStore) -> None:
    """Wait until a lease is void: only the time says so."""
    async with asyncio.timeout(30):
        while True:
            if await store.held():
                return
            await asyncio.sleep(0.05)


def lock_files(path: Path) -> list[str]:
    return [each.name for each in path.parent.glob("*.lock")]


async def test_a_living_process_keeps_its_lease_for_as_long_as_it_lives(path: Path, store: SqliteStore) -> None:
    async with holding(path, SHORT_TTL) as process:
        await asyncio.sleep(2 * SHORT_TTL)
        with pytest.raises(OwnedElsewhere) as refused:
            await store.claim(TALK)
        assert refused.value.node == "elsewhere"
        assert await store.held() == []
        assert await process.append() == "stored"


@pytest.mark.parametrize("options", [(), ("--child",)], ids=["alone", "with a child that lives on"])
async def test_the_lease_of_a_killed_process_is_free_at_once(
    path: Path, store: SqliteStore, options: tuple[str, ...]
) -> None:
    async with holding(path, LONG_TTL, *options) as process:
        assert await process.append() == "stored"
        await process.killed()
        assert process.child is None or alive(process.child)
        assert await store.held() == [TALK]
        assert await store.claim(TALK) == process.term + 1
        assert len(lock_files(path)) == 1, "what the killed one has left is removed"


async def test_a_process_that_stood_still_for_longer_than_its_lease_writes_nothing(
    path: Path, store: SqliteStore
) -> None:
    async with holding(path, SHORT_TTL) as process:
        assert await process.append() == "stored"
        process.signal(signal.SIGSTOP)
        await until_held(store)
        term = await store.claim(TALK)
        await store.log(TALK).append(entries(1, 2), expected=0, term=term)
        process.signal(signal.SIGCONT)
        assert await process.append() == "Fenced"
        assert ids(await read(store.log(TALK))) == [0, 1]
        await store.release(TALK, term, NOW)
        assert await store.held() == []


async def test_a_store_that_claims_nothing_leaves_no_trace(path: Path, store: SqliteStore) -> None:
    await store.held()
    await store.conversations.page(None, limit=9)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM holders").fetchone() == (0,)
    assert lock_files(path) == []


async def test_a_closed_store_leaves_no_trace_of_itself_but_what_it_held(path: Path, store: SqliteStore) -> None:
    async with open_sqlite(path, Holder(ttl=LONG_TTL)) as other:
        await other.claim(TALK)
        assert len(lock_files(path)) == 1
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM holders").fetchone() == (0,)
    assert lock_files(path) == []
    assert await store.held() == [TALK]


@pytest.mark.parametrize("flipped", [b"\xff" * 32, b"a/b", b"\x00", b""])
async def test_a_holder_that_a_flipped_bit_has_made_nobody_does_not_keep_its_conversation(
    path: Path, flipped: bytes
) -> None:
    async with open_sqlite(path) as store:
        await store.conversations.create(row(TALK))
        await store.claim(TALK)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE conversations SET holder = CAST(? AS TEXT)", (flipped,))
        connection.execute("INSERT INTO holders VALUES (CAST(? AS TEXT), 'node', 'soon')", (flipped,))
    async with open_sqlite(path) as store:
        assert await store.held() == [TALK]
        assert await store.claim(TALK) == 2
