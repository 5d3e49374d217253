"""Which trajectories are still to be saved, as every kind of SessionStore keeps it. The kinds stand in conftest.py."""

from datetime import timedelta

from openhands_sessions.core.ids import EventId
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.ports.trajectories import PendingUpload
from tests.support.store_entries import NOW, OTHER, TALK, UNKNOWN, row

LATER = NOW + timedelta(seconds=60)
NINE, TEN = EventId(9), EventId(10)


async def heads(store: SessionStore) -> list[tuple[str, int]]:
    return [(upload.conversation, upload.head) for upload in await store.uploads.pending(10)]


async def test_what_is_to_be_saved_first_is_told_first(store: SessionStore) -> None:
    await store.uploads.put(TALK, TEN, LATER)
    await store.uploads.put(OTHER, NINE, NOW)
    assert await store.uploads.pending(10) == [PendingUpload(OTHER, NINE, 0, NOW), PendingUpload(TALK, TEN, 0, LATER)]
    assert await store.uploads.pending(1) == [PendingUpload(OTHER, NINE, 0, NOW)]


async def test_an_upload_that_is_done_does_not_hide_a_newer_head(store: SessionStore) -> None:
    await store.uploads.put(TALK, NINE, NOW)
    [first] = await store.uploads.pending(10)
    await store.uploads.put(TALK, TEN, NOW)
    await store.uploads.done(first)
    assert await heads(store) == [(TALK, 10)]
    [second] = await store.uploads.pending(10)
    await store.uploads.done(second)
    assert await heads(store) == []


async def test_what_is_saved_is_not_saved_again(store: SessionStore) -> None:
    await store.uploads.put(TALK, TEN, NOW)
    [upload] = await store.uploads.pending(10)
    await store.uploads.done(upload)
    for head in (NINE, TEN):
        await store.uploads.put(TALK, head, LATER)
    assert await heads(store) == []
    await store.uploads.put(TALK, EventId(11), LATER)
    assert await store.uploads.pending(10) == [PendingUpload(TALK, EventId(11), 0, LATER)]


async def test_what_has_failed_waits_and_counts_its_tries(store: SessionStore) -> None:
    await store.uploads.put(TALK, TEN, NOW)
    for tries in (1, 2):
        [upload] = await store.uploads.pending(10)
        await store.uploads.postpone(upload, LATER)
        assert await store.uploads.pending(10) == [PendingUpload(TALK, TEN, tries, LATER)]


async def test_a_failure_does_not_hold_up_a_newer_head(store: SessionStore) -> None:
    await store.uploads.put(TALK, NINE, NOW)
    [upload] = await store.uploads.pending(10)
    await store.uploads.put(TALK, TEN, NOW)
    await store.uploads.postpone(upload, LATER)
    assert await store.uploads.pending(10) == [PendingUpload(TALK, TEN, 0, NOW)]


async def test_a_conversation_that_is_gone_has_nothing_to_be_saved(store: SessionStore) -> None:
    await store.uploads.put(UNKNOWN, TEN, NOW)
    await store.uploads.put(TALK, TEN, NOW)
    [upload] = await store.uploads.pending(10)
    await store.conversations.delete(TALK)
    assert await heads(store) == []
    await store.uploads.done(upload)
    await store.uploads.postpone(upload, LATER)
    await store.uploads.put(TALK, EventId(11), NOW)
    assert await heads(store) == []
    assert await store.conversations.get(row(OTHER).id) is not None
