"""Several servers on one file: each sees what the others wrote, and a stale one is refused."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from openhands_sessions.adapters.stores.sqlite import SqliteStore, open_sqlite
from openhands_sessions.core.errors import AlreadyExists, Conflict, NotFound
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.ids import ConversationId, EventId
from openhands_sessions.ports.store import Receipt
from tests.support.store_entries import TALK, entries, ids, read, row


@pytest.fixture
async def foreign(path: Path, store: SqliteStore) -> AsyncIterator[SqliteStore]:
    async with open_sqlite(path) as foreign:
        yield foreign


async def test_a_head_that_a_foreign_server_has_moved_is_noticed(store: SqliteStore, foreign: SqliteStore) -> None:
    await store.log(TALK).append(entries(0, 1), expected=-1, term=0)
    await foreign.log(TALK).append(entries(1, 3, "foreign"), expected=0, term=0)
    with pytest.raises(Conflict) as refused:
        await store.log(TALK).append(entries(1, 2), expected=0, term=0)
    assert refused.value.found == 2
    await store.log(TALK).append(entries(3, 4), expected=2, term=0)
    assert await read(foreign.log(TALK)) == [*entries(0, 1), *entries(1, 3, "foreign"), *entries(3, 4)]


async def test_what_was_deleted_elsewhere_is_gone(store: SqliteStore, foreign: SqliteStore) -> None:
    await store.log(TALK).append(entries(0, 1), expected=-1, term=0)
    assert await foreign.conversations.delete(TALK)
    with pytest.raises(NotFound):
        await store.log(TALK).append(entries(1, 2), expected=0, term=0)
    with pytest.raises(AlreadyExists):
        await store.conversations.create(row(TALK))


async def test_a_key_that_was_used_elsewhere_is_noticed(store: SqliteStore, foreign: SqliteStore) -> None:
    receipt = Receipt(key="k", digest="d", event=EventId(0))
    await foreign.log(TALK).append(entries(0, 1), expected=-1, term=0, receipt=receipt)
    assert await store.log(TALK).receipt("k") == receipt
    with pytest.raises(AlreadyExists):
        await store.log(TALK).append(entries(1, 2), expected=0, term=0, receipt=receipt)


async def test_kinds_first_used_elsewhere_are_understood(store: SqliteStore, foreign: SqliteStore) -> None:
    said = [Stored(EventId(n), f"action:kind-{n % 3}", n % 2, "{}") for n in range(12)]
    for entry in said:
        writer = store if entry.id % 4 < 2 else foreign
        await writer.log(TALK).append([entry], expected=entry.id - 1, term=0)
    assert await read(store.log(TALK)) == await read(foreign.log(TALK)) == said


async def test_rows_made_elsewhere_are_listed(store: SqliteStore, foreign: SqliteStore) -> None:
    made = row(ConversationId("elsewhere"))
    await foreign.conversations.create(made)
    assert await store.conversations.get(made.id) == made
    await store.log(made.id).append(entries(0, 1), expected=-1, term=0)
    assert ids(await read(foreign.log(made.id))) == [0]
