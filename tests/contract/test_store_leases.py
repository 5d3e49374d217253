"""What every kind of SessionStore promises of leases, with two stores over the same data, as two servers have them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from openhands_sessions.core.errors import Fenced, OwnedElsewhere
from openhands_sessions.ports.store import SessionStore
from tests.support.store_entries import NOW, OTHER, TALK, TTL, OpenStore, TestClock, entries, ids, read


@pytest.fixture
async def other(open_store: OpenStore, store: SessionStore) -> AsyncIterator[SessionStore]:
    async with open_store() as other:
        yield other


async def test_a_lease_that_a_living_store_holds_is_refused(store: SessionStore, other: SessionStore) -> None:
    term = await store.claim(TALK)
    with pytest.raises(OwnedElsewhere) as refused:
        await other.claim(TALK)
    assert refused.value.node == "here"
    await store.log(TALK).append(entries(0, 1), expected=-1, term=term)
    assert await other.claim(OTHER) == 1


async def test_what_a_living_store_holds_is_not_for_another_to_look_after(
    store: SessionStore, other: SessionStore
) -> None:
    await store.claim(TALK)
    await other.claim(OTHER)
    assert await store.held() == [TALK]
    assert await other.held() == [OTHER]


async def test_a_lease_that_was_given_back_may_be_claimed(store: SessionStore, other: SessionStore) -> None:
    await store.release(TALK, await store.claim(TALK), NOW)
    assert await other.held() == []
    assert await other.claim(TALK) == 2
    with pytest.raises(OwnedElsewhere):
        await store.claim(TALK)


async def test_the_leases_of_a_store_end_with_it(open_store: OpenStore, store: SessionStore) -> None:
    async with open_store() as ending:
        term = await ending.claim(TALK)
        assert await store.held() == []
    assert await store.held() == [TALK]
    assert await store.claim(TALK) == term + 1


async def test_a_lease_that_is_not_renewed_in_time_may_be_claimed_and_fences_its_old_holder(
    store: SessionStore, other: SessionStore, clock: TestClock
) -> None:
    old = await store.claim(TALK)
    await store.log(TALK).append(entries(0, 1), expected=-1, term=old)
    clock.advance(TTL - 1)
    with pytest.raises(OwnedElsewhere):
        await other.claim(TALK)
    assert await other.held() == []
    clock.advance(1)
    assert await other.held() == [TALK]
    new = await other.claim(TALK)
    with pytest.raises(Fenced) as refused:
        await store.log(TALK).append(entries(1, 2), expected=0, term=old)
    assert (refused.value.term, refused.value.newest) == (old, new)
    await store.release(TALK, old, NOW)
    with pytest.raises(OwnedElsewhere):
        await store.claim(TALK)
    await other.log(TALK).append(entries(1, 2), expected=0, term=new)
    assert ids(await read(store.log(TALK))) == [0, 1]


async def test_every_claim_renews_all_leases(store: SessionStore, other: SessionStore, clock: TestClock) -> None:
    await store.claim(TALK)
    clock.advance(TTL - 1)
    await store.claim(OTHER)
    clock.advance(TTL - 1)
    with pytest.raises(OwnedElsewhere):
        await other.claim(TALK)


async def test_a_late_holder_whose_lease_was_not_claimed_goes_on(
    store: SessionStore, other: SessionStore, clock: TestClock
) -> None:
    term = await store.claim(TALK)
    clock.advance(10 * TTL)
    await store.log(TALK).append(entries(0, 1), expected=-1, term=term)
    await store.claim(OTHER)
    assert await other.held() == []


async def test_of_many_who_claim_at_once_one_gets_the_lease(open_store: OpenStore, store: SessionStore) -> None:
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(open_store()) for _ in range(5)]
        outcomes = await asyncio.gather(*(each.claim(TALK) for each in stores), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes].count(OwnedElsewhere) == 4
