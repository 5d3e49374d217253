"""Commits that SQLite would drop in silence, because a page before them is damaged, are told of and kept."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from openhands_sessions.adapters.stores.sqlite import open_sqlite
from openhands_sessions.adapters.stores.write_ahead_log import find_lost, kept_logs
from openhands_sessions.core.errors import StorageUnavailable
from tests.support.store_entries import TALK, entries, ids, read, row

HEADER, FRAME = 32, 24 + 4096


@pytest.fixture
async def killed(path: Path) -> Path:
    """A database as a kill leaves it, with all that was stored in its write-ahead log; the log."""
    alive = path.with_name("alive.db")
    async with open_sqlite(alive) as store:
        await store.conversations.create(row(TALK))
        for number in range(10):
            await store.log(TALK).append(entries(number, number + 1), expected=number - 1, term=0)
        log = path.with_name(f"{path.name}-wal")
        shutil.copy(alive, path)
        shutil.copy(f"{alive}-wal", log)
    return log


async def test_a_log_as_a_kill_leaves_it_is_taken_over_in_silence(path: Path, killed: Path) -> None:
    with capture_logs() as lines:
        async with open_sqlite(path) as store:
            assert ids(await read(store.log(TALK))) == list(range(10))
    assert lines == []


@pytest.mark.parametrize(
    "place", [HEADER - 20, HEADER + 5 * FRAME + 2, HEADER + 5 * FRAME + 9, HEADER + 6 * FRAME + 99]
)
async def test_lost_commits_are_told_and_kept_and_the_store_waits_for_a_decision(
    path: Path, killed: Path, place: int
) -> None:
    content = bytearray(killed.read_bytes())
    content[place] ^= 4
    killed.write_bytes(content)
    with capture_logs() as lines:
        async with open_sqlite(path) as store:
            problem = store.problem
            with pytest.raises(StorageUnavailable, match="what was stored last is lost"):
                await store.conversations.page(None, limit=1)
    assert problem is not None
    assert "restore a backup" in problem
    assert str(path.parent) not in problem
    assert [(line["log_level"], line["problem"]) for line in lines] == [("error", problem)]
    [kept] = kept_logs(path)
    assert kept.read_bytes() == content
    assert kept.name in problem
    async with open_sqlite(path) as store:
        assert store.problem is None, "the operator goes on with what is left"


def cut_in_a_page(content: bytes) -> bytes:
    return content[:-1000]


def torn_page(content: bytes) -> bytes:
    return content[:-1000] + bytes(1000)


def with_an_earlier_use_behind_it(content: bytes) -> bytes:
    return content + bytes([content[HEADER]]) * FRAME * 3


@pytest.mark.parametrize("how", [cut_in_a_page, torn_page, with_an_earlier_use_behind_it])
async def test_a_torn_end_is_normal(path: Path, killed: Path, how: Callable[[bytes], bytes]) -> None:
    killed.write_bytes(how(killed.read_bytes()))
    with capture_logs() as lines:
        async with open_sqlite(path) as store:
            found = await read(store.log(TALK))
    assert found == entries(0, len(found))
    assert len(found) >= 9
    assert (lines, kept_logs(path)) == ([], [])


async def test_what_a_rolled_back_transaction_has_left_is_no_loss(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (x)")
        connection.execute("PRAGMA cache_size = 5")
        connection.execute("BEGIN")
        for _ in range(200):
            connection.execute("INSERT INTO t VALUES (zeroblob(3000))")
        connection.execute("ROLLBACK")
        connection.execute("INSERT INTO t VALUES (1)")
        log = path.with_name(f"{path.name}-wal")
        assert log.stat().st_size > HEADER + 50 * FRAME, "it was spilled"
        assert find_lost(log) is None
