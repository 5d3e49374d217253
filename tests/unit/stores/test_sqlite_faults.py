"""What is left when a writer is killed, the disk is full, or a single write cannot be stored."""

import asyncio
import random
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from openhands_sessions.adapters.stores.condition import StoreCondition
from openhands_sessions.adapters.stores.sqlite import SqliteStore, open_sqlite
from openhands_sessions.adapters.stores.sqlite_writer import Writer
from openhands_sessions.core.errors import Conflict, StorageError, StorageUnavailable
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.ids import ConversationId, EventId
from tests.support.store_entries import OTHER, TALK, entries, ids, read, row

MEGABYTE = 1024 * 1024


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 20))])
@pytest.mark.slow
async def test_a_killed_writer_leaves_all_that_it_acknowledged(path: Path, seed: int) -> None:
    acknowledged = await kill_after(path, random.Random(seed).randrange(50, 4000))
    async with open_sqlite(path) as store:
        for sid, head in acknowledged.items():
            log = store.log(sid)
            found = await read(log)
            assert found == entries(0, len(found), sid), "dense, and as written"
            assert len(found) > head, "what was acknowledged is there"
            assert len(found) % 3 != 2, "whole appends only: they are of one and two by turns"
            assert await log.receipt(f"key-{head + 1}") is None or len(found) > head + 1
            await log.append(entries(len(found), len(found) + 1), expected=len(found) - 1, term=1)


async def kill_after(path: Path, lines: int) -> dict[ConversationId, int]:
    """Let a writer run until it has acknowledged so much, kill it, and return each conversation's last head."""
    writer = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.unit.stores.loaded_writer", str(path)), stdout=asyncio.subprocess.PIPE
    )
    assert writer.stdout is not None
    said: list[bytes] = []
    try:
        async with asyncio.timeout(30):
            while len(said) < lines:
                said.append(await writer.stdout.readline())
    finally:
        writer.kill()
    said += (await writer.stdout.read()).splitlines(keepends=True)
    await writer.wait()
    heads: dict[ConversationId, int] = {}
    for line in said:
        if line.endswith(b"\n"):
            sid, head = line.decode().split()
            heads[ConversationId(sid)] = int(head)
    return heads


async def test_a_full_disk_loses_nothing_and_is_forgiven(path: Path) -> None:
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.unit.stores.loaded_writer", str(path), "--full"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        said, complained = await program.communicate()
    assert program.returncode == 0, complained.decode()
    stored = int(said.splitlines()[-1].split()[1].rstrip(b";"))
    async with open_sqlite(path) as store:
        assert ids(await read(store.log(TALK))) == list(range(stored))
        assert await read(store.log(OTHER)) == []


async def test_what_cannot_be_stored_fails_alone(store: SqliteStore) -> None:
    """The database finds out in the middle of the group's transaction."""
    odd = [Stored(EventId(1), "action:message", 2**70, "{}")]
    with pytest.raises(StorageError) as refused:
        await together(
            store.log(TALK).append(entries(0, 1), expected=-1, term=0),
            store.log(OTHER).append(entries(0, 1), expected=-1, term=0),
            store.log(TALK).append(odd, expected=0, term=0),
            store.log(OTHER).append(entries(1, 2), expected=0, term=0),
        )
    assert not isinstance(refused.value, Conflict | StorageUnavailable)
    assert (await store.log(TALK).head(), await store.log(OTHER).head()) == (0, 1)


async def together(*writes: "asyncio.Future[None]") -> None:
    """Wait for all, then raise what one of them raised."""
    await asyncio.wait(writes)
    await asyncio.gather(*writes)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process is writing, and takes its time."""
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        yield
        holder.execute("ROLLBACK")


async def test_writes_wait_for_another_process(path: Path, store: SqliteStore) -> None:
    with locked(path):
        waiting = store.log(TALK).append(entries(0, 1), expected=-1, term=0)
        assert await store.log(TALK).head() == -1, "readers do not wait"
        assert not waiting.done()
    await waiting


async def test_what_waits_is_bounded_in_bytes(path: Path, store: SqliteStore) -> None:
    log, text = store.log(TALK), "x" * MEGABYTE
    with locked(path):
        sent = [log.append([Stored(EventId(n), "k", 1, text)], expected=n - 1, term=0) for n in range(70)]
        refused = [each for each in sent if each.done()]
        assert refused == sent[63:], "64 MiB, and what each write weighs besides its text"
    assert {type(each.exception()) for each in refused} == {StorageUnavailable}
    async with asyncio.timeout(30):
        await asyncio.gather(*sent[:63])
    await log.append(entries(63, 64), expected=62, term=0)


async def test_one_write_larger_than_the_bound_passes_when_alone(store: SqliteStore) -> None:
    text = "x" * MEGABYTE
    large = [Stored(EventId(n), "k", 1, text) for n in range(66)]
    async with asyncio.timeout(30):
        await store.log(TALK).append(large, expected=-1, term=0)
    assert await store.log(TALK).head() == 65


@pytest.mark.long
async def test_a_lock_that_is_never_given_back_fails_the_write_and_no_later_one(path: Path, store: SqliteStore) -> None:
    with locked(path):
        async with asyncio.timeout(30):
            with pytest.raises(StorageUnavailable, match="locked"):
                await store.log(TALK).append(entries(0, 1), expected=-1, term=0)
    await store.log(TALK).append(entries(0, 1), expected=-1, term=0)


async def test_a_deleted_conversation_with_a_flipped_size_is_removed_and_others_go_on(path: Path) -> None:
    async with open_sqlite(path) as store:
        for sid in (TALK, OTHER):
            await store.conversations.create(row(sid))
            await store.log(sid).append(entries(0, 3, sid), expected=-1, term=0)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("UPDATE events SET size = 'many'")
            assert await store.conversations.delete(TALK)
            await store.log(OTHER).append(entries(3, 5, OTHER), expected=2, term=0)
            while connection.execute("SELECT count(*) FROM events").fetchone() != (5,):
                await store.log(OTHER).append([], expected=4, term=0)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_nobody_waits_for_a_writer_that_died_of_a_mistake_of_ours(path: Path) -> None:
    def mistake(connection: sqlite3.Connection) -> None:
        raise LookupError("a mistake of ours")

    writer = Writer(path, StoreCondition())
    await writer.ready()
    async with asyncio.timeout(10):
        outcomes = await asyncio.gather(
            *(writer.call(TALK, work) for work in (mistake, lambda _: None)), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [StorageUnavailable] * 2
        with pytest.raises(StorageUnavailable):
            await writer.call(TALK, lambda _: None)
        await writer.close()
