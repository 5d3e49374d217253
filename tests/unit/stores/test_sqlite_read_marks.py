"""Damaged read marks are found by a check of the whole database."""

import sqlite3
from contextlib import closing
from pathlib import Path

from openhands_sessions.adapters.stores.sqlite import open_sqlite
from openhands_sessions.adapters.stores.sqlite_check import check_sqlite
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId, EventId
from tests.support.store_entries import OTHER, TALK, row


async def test_a_check_finds_the_marks_that_are_not_as_they_were_written(path: Path) -> None:
    async with open_sqlite(path) as store:
        for sid in (TALK, OTHER):
            await store.conversations.create(row(sid))
            await store.read_marks.raise_to(LOCAL_OWNER, sid, EventId(4))
    assert check_sqlite(path).sound
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE read_marks SET event = 5 WHERE conversation = 1")
        connection.commit()
    [damage] = check_sqlite(path).damage
    assert damage.conversation == TALK
    assert "how far a user has read" in str(damage)


async def test_no_mark_is_left_of_a_deleted_conversation(path: Path) -> None:
    async with open_sqlite(path) as store:
        await store.conversations.create(row(TALK))
        await store.read_marks.raise_to(LOCAL_OWNER, TALK, EventId(4))
        await store.conversations.delete(TALK)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM read_marks").fetchone() == (0,)


async def test_marks_of_many_conversations_are_read_at_once(path: Path) -> None:
    sids = [ConversationId(f"talk-{number}") for number in range(200)]
    async with open_sqlite(path) as store:
        for sid in sids:
            await store.conversations.create(row(sid))
        for sid in sids[::2]:
            await store.read_marks.raise_to(LOCAL_OWNER, sid, EventId(4))
        assert await store.read_marks.marks(LOCAL_OWNER, sids) == dict.fromkeys(sids[::2], 4)
