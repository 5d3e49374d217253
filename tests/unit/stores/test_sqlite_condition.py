"""What the store tells of itself: a disk that refuses writes, and a database that is damaged."""

import asyncio
import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from openhands_sessions.adapters.stores.sqlite import SqliteStore, open_sqlite
from openhands_sessions.core.errors import StorageError, StorageUnavailable
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.ids import LOCAL_OWNER, EventId
from tests.support.store_entries import OTHER, TALK, entries, row

PAGE = 4096
SMALL = 16 * 1024
ROWS_AND_INDEXES = ("conversations", "sqlite_autoindex_conversations_1", "conversations_by_owner")
ELSEWHERE = ("events", "forms", "receipts", "snapshots", "read_marks", "shares", "holders", "conversations_held")


@contextmanager
def full_disk() -> Iterator[None]:
    """A limit on file sizes stands in for it: the kernel refuses what makes a file longer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_is_one_line_and_room_another_without_a_write_of_anybodys(path: Path) -> None:
    async with open_sqlite(path, probe_every=0.01) as store:
        await store.conversations.create(row(TALK))
        with capture_logs() as lines:
            with full_disk():
                for number in range(3):
                    with pytest.raises(StorageUnavailable):
                        await store.log(TALK).append(entries(0, 1), expected=-1, term=number)
                problem = store.problem
            async with asyncio.timeout(20):
                while len(lines) < 2:
                    await store.conversations.get(TALK)
        assert problem is not None
        assert problem.startswith("the database cannot be used now: ")
        assert [(line["log_level"], line.get("problem")) for line in lines] == [("error", problem), ("info", None)]
        await store.log(TALK).append(entries(0, 1), expected=-1, term=9)


async def test_a_value_that_cannot_be_stored_says_nothing_of_the_disk(store: SqliteStore) -> None:
    with capture_logs() as lines, pytest.raises(StorageError):
        await store.log(TALK).append([Stored(EventId(0), "k", 2**70, "{}")], expected=-1, term=0)
    assert (store.problem, lines) == (None, [])


def zeroed(page: bytes) -> bytes:
    return bytes(len(page))


def scribbled(page: bytes) -> bytes:
    return b"\xa5" * len(page)


def without_cells(page: bytes) -> bytes:
    return page[:3] + b"\0\0" + page[5:]


def emptied(page: bytes) -> bytes:
    """As a tree that holds nothing: sound by itself."""
    return page[:1] + b"\0\0\0\0" + PAGE.to_bytes(2, "big") + b"\0" + bytes(PAGE - 8)


async def filled(path: Path) -> None:
    async with open_sqlite(path) as store:
        for sid in (TALK, OTHER):
            await store.conversations.create(row(sid))
            await store.log(sid).append(entries(0, 3), expected=-1, term=1)


def damage(path: Path, tree: str, how: Callable[[bytes], bytes]) -> None:
    """Damage the root page of a table or index."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (tree,)).fetchone()
    start = (found[0] - 1) * PAGE
    content = bytearray(path.read_bytes())
    content[start : start + PAGE] = how(bytes(content[start : start + PAGE]))
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("tree", "how"),
    [
        *((tree, how) for tree in ROWS_AND_INDEXES for how in (zeroed, scribbled, without_cells)),
        *((tree, emptied) for tree in ROWS_AND_INDEXES[1:]),
        *((tree, how) for tree in ELSEWHERE for how in (zeroed, scribbled)),
    ],
)
async def test_a_damaged_database_says_so_once_and_answers_no_question(
    path: Path, tree: str, how: Callable[[bytes], bytes]
) -> None:
    await filled(path)
    damage(path, tree, how)
    with capture_logs() as lines:
        async with open_sqlite(path) as store:
            asked = (
                store.conversations.page(LOCAL_OWNER, limit=10),
                store.conversations.get(TALK),
                store.log(TALK).head(),
                store.claim(OTHER),
            )
            answers = await asyncio.gather(*asked, return_exceptions=True)
            problem = store.problem
    assert problem is not None
    assert "is damaged" in problem
    assert ".dump" in problem
    assert str(path.parent) not in problem
    assert [str(answer) for answer in answers] == [problem] * len(asked)
    assert [(line["log_level"], line["problem"]) for line in lines] == [("error", problem)]


async def test_damage_that_a_read_meets_later_is_told_as_well(path: Path) -> None:
    await filled(path)
    async with open_sqlite(path) as store:
        assert store.problem is None
        damage(path, "conversations", scribbled)
        with capture_logs() as lines:
            for _ in range(3):
                with pytest.raises(StorageUnavailable, match="is damaged"):
                    await store.conversations.page(LOCAL_OWNER, limit=10)
    assert len(lines) == 1


@pytest.mark.parametrize("content", ["missing", "nothing", "no tables", "no conversations"])
async def test_a_database_without_conversations_beside_workspaces_is_refused_with_a_way_out(
    path: Path, content: str
) -> None:
    path.parent.mkdir()
    if content == "no conversations":
        async with open_sqlite(path):
            pass
    elif content != "missing":
        path.touch()
    if content == "no tables":
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("VACUUM")
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(StorageError, match=r"sessions\.db is .*restore it from a backup.*move the folder"):
        async with open_sqlite(path, begun=True):
            pass
    assert (path.read_bytes() if path.exists() else None) == before, "left alone"
    async with open_sqlite(path) as store:
        await store.conversations.create(row(TALK))
        assert await store.conversations.delete(TALK)
    async with open_sqlite(path, begun=True) as store:
        assert store.problem is None
