"""A database that the first version made is whole after its migration."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from openhands_sessions.adapters.stores.checksum_pass import complete_piece
from openhands_sessions.adapters.stores.log_reader import EventKinds
from openhands_sessions.adapters.stores.sqlite import open_sqlite
from openhands_sessions.adapters.stores.sqlite_check import check_sqlite
from openhands_sessions.adapters.stores.sqlite_schema import SPAN
from openhands_sessions.core.errors import AlreadyExists, StorageUnavailable
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId
from openhands_sessions.core.repository import Repository
from openhands_sessions.core.view import VIEW_VERSION
from openhands_sessions.ports.conversations import ANY_CONVERSATION, ConversationFilter
from openhands_sessions.ports.store import ConversationRow, ImportProgress, SessionStore
from openhands_sessions.service.importing import NOBODY
from openhands_sessions.session.log_folding import folded
from tests.support.store_damage import read_all
from tests.support.store_entries import ids, read, row
from tests.support.stored_example import CUT_OFF, IMPORTED

FIRST = Path(__file__).parents[2] / "golden" / "store_v1.sql"
SIDS = ("plain", "message", "images", "replay", "checkout", "empty-checkout", IMPORTED, CUT_OFF, "held")


@pytest.fixture
def first(path: Path) -> Path:
    """A database of the first version."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(FIRST.read_text())
    return path


def dumped(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [*connection.iterdump(), str(connection.execute("PRAGMA user_version").fetchone())]


async def test_each_field_of_a_row_has_its_place(first: Path) -> None:
    async with open_sqlite(first) as store:
        rows = {sid: await kept(store, sid) for sid in SIDS}
    plain, message, images = rows["plain"], rows["message"], rows["images"]
    assert (plain.title, plain.owner, plain.trigger) == ("A «plain» title 🎉", LOCAL_OWNER, "gui")
    assert (plain.initial_message, plain.images_key, plain.replay_key, plain.repository) == (None,) * 4
    assert (plain.settings, plain.version, plain.archived) == ({}, 1, False)
    assert (plain.imported, plain.began_with) == (None, None)
    assert plain.created_at < plain.updated_at
    assert (message.initial_message, message.settings) == ("$ true", {"agent": "shell", "max_iterations": 7})
    assert images.images_key == "45bf920b56ce45ef8ce6ce4d59ca1809"
    assert (rows["replay"].initial_message, len(rows["replay"].replay_key or "")) == ("$ echo hello", 32)
    checkout = rows["checkout"].repository
    assert checkout is not None
    assert (checkout.name, checkout.branch, checkout.provider) == (checkout.url, "main", None)
    assert (rows["checkout"].checkout, rows["checkout"].trigger) == (True, "suggested_task")
    assert (rows["empty-checkout"].repository, rows["empty-checkout"].checkout) == (Repository(), True)
    for sid, owner in ((IMPORTED, LOCAL_OWNER), (CUT_OFF, NOBODY)):
        assert rows[sid].repository == Repository(name="owner/name", branch="dev", provider="gitlab")
        assert (rows[sid].checkout, rows[sid].owner) == (False, owner)
    assert rows[IMPORTED].imported == ImportProgress(runs=[[0, 0, 12]], through=11, head=12)
    assert rows[CUT_OFF].imported == ImportProgress(runs=[], through=-1, head=-1)


async def test_rows_are_found_by_what_lists_ask_for(first: Path) -> None:
    async with open_sqlite(first) as store:

        async def page(matching: ConversationFilter) -> list[str]:
            return [each.id for each in await store.conversations.page(LOCAL_OWNER, limit=99, matching=matching)]

        assert sorted(await page(ANY_CONVERSATION)) == sorted(set(SIDS) - {CUT_OFF})
        assert await page(ConversationFilter(repository="owner/name")) == [IMPORTED]
        assert await page(ConversationFilter(trigger="resolver")) == ["empty-checkout"]


async def test_logs_receipts_snapshots_and_ownership_are_kept(first: Path) -> None:
    async with open_sqlite(first) as store:
        for sid in map(ConversationId, SIDS):
            events = await read(store.log(sid))
            assert ids(events) == list(range(len(events)))
            assert len(events) > 3
            snapshot = await store.snapshots.load(sid)
            if snapshot is not None and snapshot.version == VIEW_VERSION:
                assert await folded(store.log(sid), snapshot) == await folded(store.log(sid), None)
        assert (await store.snapshots.load(ConversationId("plain"))) is not None
        receipt = await store.log(ConversationId("plain")).receipt("key-2")
        assert receipt is not None
        assert receipt.event == 13
        assert await store.held() == ["held"]
        assert await store.claim(ConversationId("held")) == 3
    with closing(sqlite3.connect(first)) as connection:
        for table in ("receipts", "snapshots", "conversations"):
            [(count, sealed)] = connection.execute(f"SELECT count(*), count(checksum) FROM {table}").fetchall()
            assert sealed == count > 0, table


async def test_a_long_log_is_folded_whole_once_more_to_have_its_snapshots(first: Path) -> None:
    with closing(sqlite3.connect(first)) as connection:
        connection.execute("UPDATE snapshots SET head = 5000 WHERE conversation = 1")
        connection.commit()
    async with open_sqlite(first) as store:
        assert await store.snapshots.load(ConversationId("plain")) is None
        assert await store.snapshots.load(ConversationId("message")) is not None


async def test_a_deleted_conversation_stays_deleted(first: Path) -> None:
    async with open_sqlite(first) as store:
        assert await store.conversations.get(ConversationId("deleted")) is None
        with pytest.raises(AlreadyExists):
            await store.conversations.create(row(ConversationId("deleted")))


async def test_a_migration_that_fails_leaves_the_file_as_it_was(first: Path) -> None:
    with closing(sqlite3.connect(first)) as connection:
        connection.execute("CREATE INDEX conversations_by_trigger ON conversations (id)")
    before = dumped(first)
    with pytest.raises(StorageUnavailable):
        async with open_sqlite(first):
            pass
    assert dumped(first) == before


async def kept(store: SessionStore, sid: str) -> ConversationRow:
    found = await store.conversations.get(ConversationId(sid))
    assert found is not None
    return found


def count(path: Path, query: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute(query).fetchone()[0])


async def test_every_event_gets_its_checksum_in_the_background_but_for_damaged_ones(first: Path) -> None:
    with closing(sqlite3.connect(first)) as connection:
        connection.execute("UPDATE events SET size = size + 1 WHERE key = 4294967296 + 3")
        connection.commit()
    async with open_sqlite(first), asyncio.timeout(30):
        while count(first, "SELECT count(*) FROM checksum_pass"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert count(first, "SELECT count(*) FROM events WHERE checksum IS NULL") == 1
    assert count(first, "SELECT count(*) FROM conversations WHERE checksum IS NULL") == 0
    async with open_sqlite(first) as store:
        for sid in map(ConversationId, SIDS):
            _, damaged = await read_all(store.log(sid))
            assert damaged == ([(3, 3)] if sid == "plain" else [])
    report = check_sqlite(first)
    assert report.events == report.checked + 1
    assert [(each.conversation, each.first) for each in report.damage] == [("plain", 3)]


async def test_the_checksums_wait_for_other_writes_and_go_on_where_they_were(first: Path) -> None:
    async with open_sqlite(first):
        pass
    with closing(sqlite3.connect(first)) as connection:
        connection.execute("INSERT OR REPLACE INTO checksum_pass VALUES (0)")
        connection.execute("UPDATE events SET checksum = NULL")
        kinds = EventKinds()
        done = [complete_piece(connection, kinds) for _ in range(3)]
        assert done == [count(first, "SELECT count(*) FROM events"), None, None]
        connection.rollback()
        connection.execute("UPDATE checksum_pass SET next = 2 * 4294967296")
        assert (
            complete_piece(connection, kinds)
            == connection.execute("SELECT count(*) FROM events WHERE key >= 2 * 4294967296").fetchone()[0]
        )


async def test_the_bytes_of_what_is_stored_are_counted(first: Path) -> None:
    async with open_sqlite(first):
        pass
    with closing(sqlite3.connect(first)) as connection:
        counted = connection.execute("SELECT conversation, bytes FROM sizes WHERE bytes > 0").fetchall()
        events = connection.execute(f"SELECT key / {SPAN}, sum(size) FROM events GROUP BY 1").fetchall()
    assert counted == events
