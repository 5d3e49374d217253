"""A store that is closed and opened again finds everything that it acknowledged. The kinds stand in conftest.py."""

from dataclasses import replace
from datetime import timedelta

import pytest

from openhands_sessions.core.errors import AlreadyExists, Conflict, Fenced
from openhands_sessions.core.ids import LOCAL_OWNER, EventId, OwnerId
from openhands_sessions.core.repository import repository
from openhands_sessions.ports.store import ImportProgress, Receipt, Snapshot
from tests.support.store_entries import NOW, OTHER, TALK, OpenStore, entries, read, row

WHOLE = replace(
    row(TALK),
    title="Größe 🎉",
    trigger="resolver",
    initial_message="begin\nhere",
    images_key="images",
    replay_key="steps",
    repository=repository("https://example.org/a/b.git", None, "main"),
    checkout=True,
    imported=ImportProgress(runs=[[0, 3]], through=7, head=4),
    forked_from=OTHER,
    sandbox="one",
    archived=True,
    settings={"llm_model": "m", "confirmation_mode": True},
)


async def test_every_field_of_a_row_is_found_again(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.conversations.create(WHOLE)
    async with open_store() as store:
        assert await store.conversations.get(TALK) == WHOLE
        assert await store.conversations.page(None, limit=10) == [WHOLE]


async def test_a_changed_row_is_found_with_its_version(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.conversations.create(row(TALK))
        changed = await store.conversations.update(TALK, {"title": "new", "owner": OwnerId("they")})
    async with open_store() as store:
        assert await store.conversations.get(TALK) == changed
        assert (changed.version, changed.title) == (2, "new")
        with pytest.raises(Conflict):
            await store.conversations.update(TALK, {"title": "newer"}, if_version=1)


async def test_a_log_and_its_receipts_are_found_and_go_on(open_store: OpenStore) -> None:
    receipt = Receipt(key="k", digest="d", event=EventId(4))
    async with open_store() as store:
        await store.conversations.create(row(TALK))
        await store.log(TALK).append(entries(0, 4), expected=-1, term=0)
        await store.log(TALK).append(entries(4, 5), expected=3, term=0, receipt=receipt)
    async with open_store() as store:
        log = store.log(TALK)
        assert (await log.head(), await log.receipt("k")) == (4, receipt)
        assert await read(log) == entries(0, 5)
        await log.append(entries(5, 6), expected=4, term=0)
        with pytest.raises(AlreadyExists):
            await log.append(entries(6, 7), expected=5, term=0, receipt=receipt)
    async with open_store() as store:
        assert await read(store.log(TALK)) == entries(0, 6)


async def test_snapshots_are_found_again(open_store: OpenStore) -> None:
    snapshots = [Snapshot(EventId(head), 1, f"view at {head}") for head in (10, 20)]
    async with open_store() as store:
        await store.conversations.create(row(TALK))
        for each in snapshots:
            await store.snapshots.save(TALK, each)
    async with open_store() as store:
        assert await store.snapshots.load(TALK) == snapshots[-1]
        assert await store.snapshots.load(TALK, EventId(15)) == snapshots[0]


async def test_read_marks_are_found_again(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.conversations.create(row(TALK))
        await store.read_marks.raise_to(LOCAL_OWNER, TALK, EventId(7))
    async with open_store() as store:
        assert await store.read_marks.marks(LOCAL_OWNER, [TALK]) == {TALK: 7}
        assert await store.read_marks.raise_to(LOCAL_OWNER, TALK, EventId(3)) == 7


async def test_what_was_deleted_stays_so_and_its_id_stays_taken(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.conversations.create(row(TALK))
        await store.log(TALK).append(entries(0, 3), expected=-1, term=0)
        assert await store.conversations.delete(TALK)
    async with open_store() as store:
        assert await store.conversations.get(TALK) is None
        assert await read(store.log(TALK)) == []
        with pytest.raises(AlreadyExists):
            await store.conversations.create(row(TALK))


async def test_terms_go_on_and_a_lease_that_was_not_given_back_is_left_to_be_gone_on_with(
    open_store: OpenStore,
) -> None:
    async with open_store() as store:
        for sid in (TALK, OTHER):
            await store.conversations.create(row(sid))
        term = await store.claim(TALK)
        await store.release(OTHER, await store.claim(OTHER), NOW + timedelta(hours=1))
    async with open_store() as store:
        assert await store.held() == [TALK]
        assert await store.claim(TALK) > term
        with pytest.raises(Fenced):
            await store.log(TALK).append(entries(0, 1), expected=-1, term=term)
        released = await store.conversations.get(OTHER)
        assert released is not None
        assert released.updated_at == NOW + timedelta(hours=1)
