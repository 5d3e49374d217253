"""The database file: who may read it, and whose it must be."""

import asyncio
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from openhands_sessions.adapters.stores.sqlite import SqliteStore, open_sqlite
from openhands_sessions.adapters.stores.sqlite_migrations import MIGRATIONS
from openhands_sessions.core.errors import StorageError, StorageUnavailable
from tests.support.store_entries import TALK, entries, ids, read, row


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_only_the_owner_reads_the_files(path: Path, store: SqliteStore) -> None:
    await store.log(TALK).append(entries(0, 1), expected=-1, term=0)
    assert mode(path.parent) == 0o700
    assert sorted(each.name for each in path.parent.iterdir()) == ["sessions.db", "sessions.db-shm", "sessions.db-wal"]
    assert {mode(each) for each in path.parent.iterdir()} == {0o600}


async def test_a_file_that_others_could_read_is_closed_to_them(path: Path) -> None:
    path.parent.mkdir()
    path.touch(mode=0o644)
    async with open_sqlite(path):
        assert mode(path) == 0o600


async def test_what_was_stored_is_there_after_a_restart(path: Path) -> None:
    async with open_sqlite(path) as store:
        await store.conversations.create(row(TALK))
        term = await store.claim(TALK)
        await store.log(TALK).append(entries(0, 3), expected=-1, term=term)
    assert [each.name for each in path.parent.iterdir()] == ["sessions.db"], "closing leaves one file"
    async with open_sqlite(path) as store:
        assert ids(await read(store.log(TALK))) == [0, 1, 2]
        assert await store.claim(TALK) == term + 1


async def test_the_disk_has_it_before_the_writer_hears_so(path: Path, store: SqliteStore) -> None:
    with closing(sqlite3.connect(path)) as another:
        assert another.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        await store.log(TALK).append(entries(0, 1), expected=-1, term=0)
        assert another.execute("SELECT count(*) FROM events").fetchone() == (1,)


async def test_a_database_of_a_newer_version_is_refused_and_left_alone(path: Path) -> None:
    async with open_sqlite(path):
        pass
    with closing(sqlite3.connect(path)) as newer:
        newer.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    before = path.read_bytes()
    with pytest.raises(StorageError, match="newer version"):
        async with open_sqlite(path):
            pass
    assert path.read_bytes() == before


async def test_another_programs_database_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as foreign:
        foreign.execute("CREATE TABLE recipes (name TEXT)")
    before = path.read_bytes()
    with pytest.raises(StorageError, match="belongs to another program"):
        async with open_sqlite(path):
            pass
    assert path.read_bytes() == before


async def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("dear diary, " * 100)
    with pytest.raises(StorageUnavailable, match="not a database"):
        async with open_sqlite(path):
            pass


async def test_a_place_where_no_file_can_be_is_refused_without_naming_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageUnavailable) as refused:
        async with open_sqlite(tmp_path / "file" / "sessions.db"):
            pass
    assert str(tmp_path) not in str(refused.value)


async def test_a_new_database_may_be_opened_by_many_at_once(path: Path) -> None:
    async def use(n: int) -> None:
        async with open_sqlite(path) as store:
            await store.conversations.create(row(type(TALK)(f"talk-{n}")))

    async with asyncio.timeout(20):
        await asyncio.gather(*(use(n) for n in range(6)))
    async with open_sqlite(path) as store:
        assert len(await store.conversations.page(None, limit=10)) == 6


async def test_opening_that_is_given_up_leaves_no_thread_behind(path: Path) -> None:
    async with open_sqlite(path), asyncio.timeout(20):
        with closing(sqlite3.connect(path, isolation_level=None)) as holder:
            holder.execute("PRAGMA user_version = 0")  # so that opening has something to do
            holder.execute("BEGIN IMMEDIATE")
            opening = asyncio.ensure_future(enter_and_leave(path))
            await asyncio.sleep(0)
            opening.cancel()
            holder.execute("ROLLBACK")
        with pytest.raises(asyncio.CancelledError):
            await opening


async def enter_and_leave(path: Path) -> None:
    async with open_sqlite(path):
        pass
