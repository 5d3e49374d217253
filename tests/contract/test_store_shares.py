"""Whom conversations are shared with, as every kind of SessionStore keeps it. The kinds stand in conftest.py."""

import asyncio
from datetime import timedelta

import pytest

from openhands_sessions.core.errors import LimitReached, NotFound
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId, OwnerId
from openhands_sessions.core.permissions import Permission
from openhands_sessions.ports.conversations import ConversationFilter
from openhands_sessions.ports.sharing import Grant, Grantee
from openhands_sessions.ports.store import SessionStore
from tests.support.store_entries import NOW, OTHER, TALK, UNKNOWN, OpenStore, row

VERA, WILL = OwnerId("vera"), OwnerId("will")


def user(name: str, permission: Permission = Permission.VIEW, later: int = 0) -> Grant:
    return Grant(grantee=Grantee("user", name), permission=permission, created_at=NOW + timedelta(seconds=later))


def link(name: str, seconds: int, later: int = 0) -> Grant:
    made = NOW + timedelta(seconds=later)
    expires = made + timedelta(seconds=seconds)
    return Grant(grantee=Grantee("link", name), permission=Permission.WRITE, created_at=made, expires_at=expires)


async def test_a_share_is_one_grantees_in_one_conversation(store: SessionStore) -> None:
    shares = [user("vera"), link("vera", 60, later=1), user("will", Permission.WRITE, later=2)]
    for share in reversed(shares):
        await store.shares.put(TALK, share, most=10)
    assert await store.shares.of(TALK) == shares
    assert await store.shares.of(OTHER) == await store.shares.of(UNKNOWN) == []
    for share in shares:
        assert await store.shares.permissions(share.grantee, [TALK, OTHER, UNKNOWN]) == {TALK: share.permission}
    assert await store.shares.permissions(Grantee("user", "vera"), []) == {}
    assert await store.shares.permissions(Grantee("user", "ver"), [TALK]) == {}


async def test_the_newest_share_of_a_grantee_counts(store: SessionStore) -> None:
    await store.shares.put(TALK, user("vera"), most=1)
    await store.shares.put(TALK, user("vera", Permission.WRITE, later=5), most=1)
    assert await store.shares.of(TALK) == [user("vera", Permission.WRITE, later=5)]


async def test_a_share_that_is_removed_is_gone(store: SessionStore) -> None:
    await store.shares.put(TALK, user("vera"), most=10)
    assert await store.shares.remove(TALK, Grantee("link", "vera")) is False
    assert await store.shares.remove(TALK, Grantee("user", "vera")) is True
    assert await store.shares.remove(TALK, Grantee("user", "vera")) is False
    assert await store.shares.remove(UNKNOWN, Grantee("user", "vera")) is False
    assert await store.shares.of(TALK) == []


async def test_of_shares_that_come_at_once_as_many_stay_as_may(store: SessionStore) -> None:
    puts = (store.shares.put(TALK, user(f"user-{number}"), most=5) for number in range(12))
    done = await asyncio.gather(*puts, return_exceptions=True)
    assert [isinstance(each, LimitReached) for each in done].count(False) == 5
    assert len(await store.shares.of(TALK)) == 5


async def test_links_that_have_expired_leave_their_place_to_the_next(store: SessionStore) -> None:
    await store.shares.put(TALK, link("old", 60), most=1)
    with pytest.raises(LimitReached):
        await store.shares.put(TALK, user("vera", later=59), most=1)
    await store.shares.put(TALK, user("vera", later=60), most=1)
    assert await store.shares.of(TALK) == [user("vera", later=60)]


async def test_a_conversation_without_a_row_is_shared_with_nobody(store: SessionStore) -> None:
    with pytest.raises(NotFound):
        await store.shares.put(UNKNOWN, user("vera"), most=10)


async def test_shares_go_with_their_conversation(store: SessionStore) -> None:
    for sid in (TALK, OTHER):
        await store.shares.put(sid, user("vera"), most=10)
    assert await store.conversations.delete(TALK)
    assert await store.shares.permissions(Grantee("user", "vera"), [TALK, OTHER]) == {OTHER: Permission.VIEW}
    with pytest.raises(NotFound):
        await store.shares.put(TALK, user("vera"), most=10)


async def test_shares_are_found_again(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.conversations.create(row(TALK))
        await store.shares.put(TALK, link("abc", 60), most=10)
    async with open_store() as store:
        assert await store.shares.of(TALK) == [link("abc", 60)]


async def test_a_guests_page_has_what_is_shared_with_it_as_a_user(store: SessionStore) -> None:
    sids = [ConversationId(f"c{number}") for number in range(5)]
    for number, sid in enumerate(sids):
        await store.conversations.create(row(sid))
        await store.shares.put(sid, user("vera" if number % 2 else "will"), most=10)
        await store.shares.put(sid, link("will", 60), most=10)
    page = store.conversations.page
    assert [found.id for found in await page(None, limit=9, guest=VERA)] == ["c3", "c1"]
    first = await page(None, limit=1, guest=VERA)
    assert [found.id for found in await page(None, limit=9, guest=VERA, before=(NOW, first[0].id))] == ["c1"]
    assert await page(LOCAL_OWNER, limit=9, guest=OwnerId("nobody")) == []
    assert await page(OwnerId("other"), limit=9, guest=VERA) == []
    one = ConversationFilter(id_prefix="c3")
    assert [found.id for found in await page(None, limit=9, guest=VERA, matching=one)] == ["c3"]
    assert await store.conversations.count(None, guest=WILL) == 3
    assert await store.conversations.count(None, one, guest=VERA) == 1
