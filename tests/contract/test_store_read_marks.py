"""How far users have read, as every kind of SessionStore keeps it. The kinds stand in conftest.py."""

import asyncio

import pytest

from openhands_sessions.core.errors import NotFound
from openhands_sessions.core.ids import EventId, OwnerId
from openhands_sessions.ports.store import SessionStore
from tests.support.store_entries import OTHER, TALK, UNKNOWN

ADA, BOB = OwnerId("ada"), OwnerId("bob")


async def test_a_mark_is_one_users_in_one_conversation(store: SessionStore) -> None:
    assert await store.read_marks.raise_to(ADA, TALK, EventId(4)) == 4
    assert await store.read_marks.raise_to(BOB, OTHER, EventId(0)) == 0
    assert await store.read_marks.marks(ADA, [TALK, OTHER, UNKNOWN]) == {TALK: 4}
    assert await store.read_marks.marks(BOB, [TALK, OTHER]) == {OTHER: 0}


async def test_only_the_conversations_that_are_asked_for_are_answered(store: SessionStore) -> None:
    await store.read_marks.raise_to(ADA, TALK, EventId(4))
    assert await store.read_marks.marks(ADA, []) == {}
    assert await store.read_marks.marks(ADA, [OTHER]) == {}


async def test_a_mark_only_rises(store: SessionStore) -> None:
    told = [await store.read_marks.raise_to(ADA, TALK, EventId(event)) for event in (5, 3, 5, 9, 0)]
    assert told == [5, 5, 5, 9, 9]
    assert await store.read_marks.marks(ADA, [TALK]) == {TALK: 9}


async def test_of_marks_that_come_at_once_the_highest_stays(store: SessionStore) -> None:
    await asyncio.gather(*(store.read_marks.raise_to(ADA, TALK, EventId(event)) for event in (7, 40, 12, 39)))
    assert await store.read_marks.marks(ADA, [TALK]) == {TALK: 40}


async def test_a_conversation_without_a_row_takes_no_mark(store: SessionStore) -> None:
    with pytest.raises(NotFound):
        await store.read_marks.raise_to(ADA, UNKNOWN, EventId(0))


async def test_marks_go_with_their_conversation(store: SessionStore) -> None:
    await store.read_marks.raise_to(ADA, TALK, EventId(4))
    await store.read_marks.raise_to(ADA, OTHER, EventId(5))
    assert await store.conversations.delete(TALK)
    assert await store.read_marks.marks(ADA, [TALK, OTHER]) == {OTHER: 5}
    with pytest.raises(NotFound):
        await store.read_marks.raise_to(ADA, TALK, EventId(9))
