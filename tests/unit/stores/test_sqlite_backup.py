"""A database is copied while it is written to."""

import asyncio
from pathlib import Path

import pytest

from openhands_sessions.adapters.stores.sqlite import SqliteStore, open_sqlite
from openhands_sessions.adapters.stores.sqlite_backup import back_up_sqlite, look_at_backup
from openhands_sessions.core.errors import StorageError
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.store import StoredCounts
from tests.support.store_entries import entries, read, row

TALKS = [ConversationId(f"talk-{number}") for number in range(4)]


async def keep_writing(store: SqliteStore, sid: ConversationId, written: dict[ConversationId, int]) -> None:
    """Two events in each append, until cancelled."""
    await store.conversations.create(row(sid))
    term, log, head = await store.claim(sid), store.log(sid), -1
    while True:
        await log.append(entries(head + 1, head + 3), expected=head, term=term)
        head = written[sid] = head + 2


async def test_a_copy_made_while_appends_go_on_has_all_that_was_acknowledged_and_no_half_of_any(tmp_path: Path) -> None:
    written: dict[ConversationId, int] = {}
    async with open_sqlite(tmp_path / "sessions.db") as store:
        writers = [asyncio.create_task(keep_writing(store, sid, written)) for sid in TALKS]
        async with asyncio.timeout(60):
            while len(written) < len(TALKS) or min(written.values()) < 20:
                await store.log(TALKS[0]).head()
            before = dict(written)
            counts = await asyncio.to_thread(back_up_sqlite, tmp_path / "sessions.db", tmp_path / "copy.db")
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)
        full = {sid: await read(store.log(sid)) for sid in TALKS}
    assert look_at_backup(tmp_path / "copy.db") == counts
    async with open_sqlite(tmp_path / "copy.db") as copy:
        found = {sid: await read(copy.log(sid)) for sid in TALKS}
    assert counts == StoredCounts(conversations=len(TALKS), events=sum(map(len, found.values())))
    for sid, events in found.items():
        assert events == full[sid][: len(events)]
        assert len(events) % 2 == 0
        assert len(events) > before[sid]


async def test_there_must_be_a_database_and_no_copy(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nothing was stored"):
        back_up_sqlite(tmp_path / "sessions.db", tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()
    async with open_sqlite(tmp_path / "sessions.db"):
        pass
    (tmp_path / "copy.db").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        back_up_sqlite(tmp_path / "sessions.db", tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_bytes() == b"mine"


async def test_what_is_no_sound_database_of_ours_is_told(tmp_path: Path) -> None:
    database = tmp_path / "sessions.db"
    async with open_sqlite(database) as store:
        for number in range(200):
            await store.conversations.create(row(ConversationId(f"talk-{number}")))
    sound = database.read_bytes()
    for content, problem in (
        (b"no database at all" * 1_000, "no sound database"),
        (b"", "no database of openhands-sessions"),
        (sound[: 3 * 4096] + bytes(8 * 4096) + sound[11 * 4096 :], "damaged|no sound database"),
    ):
        database.write_bytes(content)
        with pytest.raises(StorageError, match=problem):
            look_at_backup(database)
