"""What reading and deleting cost, counted in rows and steps rather than in time."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from openhands_sessions.adapters.stores.log_reader import OUTLINE, TEXTS, EventKinds, LogReader
from openhands_sessions.adapters.stores.sqlite import SqliteStore, open_sqlite
from openhands_sessions.adapters.stores.sqlite_conversations import page_query
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.ports.conversations import ANY_CONVERSATION, ConversationFilter
from openhands_sessions.ports.store import ConversationRow
from tests.support.store_entries import NOW, OTHER, TALK, entries, ids, read, row


class Steps:
    """Counts the steps of SQLite's machine: some ten for each row that is touched."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.taken = 0
        connection.set_progress_handler(self._step, 1)

    def _step(self) -> int:
        self.taken += 1
        return 0


@pytest.fixture
def reader(path: Path, store: SqliteStore) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as connection:
        yield connection


async def fill(store: SqliteStore, count: int) -> None:
    await store.log(TALK).append(entries(0, count), expected=-1, term=0)


def tail(reader: sqlite3.Connection) -> tuple[list[int], int]:
    """The last 50, and the steps that they cost."""
    steps = Steps(reader)
    reading = LogReader(TALK, EventKinds(), after=-1, before=None, reverse=True, limit=50)
    found: list[int] = []
    while not reading.done:
        found += ids(reading.next(reader))
    return found, steps.taken


async def test_the_last_50_of_100000_cost_no_more_than_of_100(store: SqliteStore, reader: sqlite3.Connection) -> None:
    await fill(store, 100)
    found, few = tail(reader)
    assert found == list(range(99, 49, -1))
    await store.log(TALK).append(entries(100, 100_000), expected=99, term=0)
    found, many = tail(reader)
    assert found == list(range(99_999, 99_949, -1))
    assert many <= few + 50


@pytest.mark.parametrize("statement", [*OUTLINE.values(), *TEXTS.values()])
def test_a_log_is_read_along_its_key(reader: sqlite3.Connection, statement: str) -> None:
    plan = plan_of(reader, statement, {"sid": TALK, "after": 0, "before": 9, "limit": 5})
    assert "SEARCH events USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)" in plan
    assert not any("TEMP B-TREE" in step or step.startswith("SCAN events") for step in plan)


@pytest.mark.parametrize("owner", [None, OwnerId("ada")])
@pytest.mark.parametrize("before", [None, (datetime(2025, 1, 1, tzinfo=UTC), TALK)])
@pytest.mark.parametrize(
    "matching", [ANY_CONVERSATION, ConversationFilter(repository="a/b"), ConversationFilter(trigger="slack")]
)
def test_a_page_walks_along_an_index(
    reader: sqlite3.Connection,
    owner: OwnerId | None,
    before: tuple[datetime, ConversationId] | None,
    matching: ConversationFilter,
) -> None:
    plan = plan_of(reader, *page_query(owner, limit=50, before=before, matching=matching))
    assert any("USING INDEX conversations_by_" in step for step in plan)
    assert not any("TEMP B-TREE" in step for step in plan)


def test_a_guests_page_costs_what_is_shared_with_it(reader: sqlite3.Connection) -> None:
    plan = plan_of(reader, *page_query(None, limit=50, before=None, guest=OwnerId("vera")))
    assert "SEARCH conversations USING INTEGER PRIMARY KEY (rowid=?)" in plan
    assert any("INDEX shares_by_user (name=?)" in step for step in plan)


def plan_of(reader: sqlite3.Connection, statement: str, values: dict[str, object] | tuple[object, ...]) -> list[str]:
    return [step[3] for step in reader.execute(f"EXPLAIN QUERY PLAN {statement}", values)]


async def test_no_reading_holds_a_transaction_between_batches(path: Path, store: SqliteStore) -> None:
    await fill(store, 2_000)
    reading = store.log(TALK).read()
    await anext(reading)
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0), "no reader stands in its way"
    assert [len(batch) async for batch in reading]


async def test_threads_are_few_however_many_conversations(store: SqliteStore) -> None:
    made = [ConversationId(f"many-{n}") for n in range(200)]
    await asyncio.gather(*(store.conversations.create(row(sid)) for sid in made))
    await asyncio.gather(*(store.log(sid).append(entries(0, 2), expected=-1, term=0) for sid in made))
    await asyncio.gather(*(read(store.log(sid)) for sid in made))
    names = [thread.name for thread in threading.enumerate() if thread.name.startswith("session-store")]
    assert len(names) <= 4


async def test_a_large_conversation_is_removed_piece_by_piece_between_other_writes(
    path: Path, store: SqliteStore
) -> None:
    await fill(store, 20_000)
    await store.conversations.delete(TALK)
    assert await read(store.log(TALK)) == []
    left: list[int] = []
    with closing(sqlite3.connect(path)) as other:
        async with asyncio.timeout(60):
            while not left or left[-1]:
                await store.log(OTHER).append(entries(len(left), len(left) + 1), expected=len(left) - 1, term=0)
                left.append(other.execute("SELECT count(*) FROM events WHERE key < 2 * 4294967296").fetchone()[0])
    removed = [before - after for before, after in zip([20_000, *left], left, strict=False)]
    assert len(left) > 5, "others wrote meanwhile"
    assert sum(removed) == 20_000


async def test_a_removal_that_was_cut_off_is_finished_by_the_next_start(path: Path) -> None:
    async with open_sqlite(path) as store:
        await store.conversations.create(row(TALK))
        await fill(store, 20_000)
        deleting = asyncio.ensure_future(store.conversations.delete(TALK))
        await deleting
    async with open_sqlite(path) as store:
        await store.conversations.create(row(OTHER))
        with closing(sqlite3.connect(path)) as other:
            async with asyncio.timeout(60):
                while other.execute("SELECT count(*) FROM conversations WHERE gone = 1").fetchone()[0]:
                    await store.snapshots.load(OTHER)
            assert other.execute("SELECT count(*) FROM events").fetchone() == (0,)


async def test_10000_conversations_are_listed_page_by_page(path: Path, store: SqliteStore) -> None:
    made = [
        ConversationRow(id=ConversationId(f"n{n}"), owner=OwnerId("ada"), created_at=NOW, updated_at=NOW)
        for n in range(10_000)
    ]
    await asyncio.gather(*(store.conversations.create(each) for each in made))
    with closing(sqlite3.connect(path)) as reader:
        costs = []
        for before in (None, (NOW, ConversationId("n5000"))):
            steps = Steps(reader)
            assert len(reader.execute(*page_query(OwnerId("ada"), limit=50, before=before)).fetchall()) == 50
            costs.append(steps.taken)
    assert max(costs) < 50 * 40
