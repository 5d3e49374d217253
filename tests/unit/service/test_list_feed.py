"""Followers of a list are told which conversations have changed, in bounded memory."""

import asyncio

from openhands_sessions.core.ids import ConversationId
from openhands_sessions.service.list_feed import BATCH, KEPT, ListFeed, ListFeeds, ListFollower
from tests.support.service_layer import ADA, BOB
from tests.support.session_harness import LONG

A, B = ConversationId("a"), ConversationId("b")


async def begun() -> ListFollower:
    """A follower that has taken its first snapshot."""
    follower = ListFollower()
    assert await follower.take() is None
    return follower


async def test_a_conversation_that_changes_often_is_told_once() -> None:
    follower = await begun()
    for sid in (A, B, A, A):
        follower.note(sid)
    assert await follower.take() == [A, B]
    follower.note(A)
    assert await follower.take() == [A]


async def test_a_follower_waits_for_changes() -> None:
    follower = await begun()
    asyncio.get_running_loop().call_soon(follower.note, A)
    async with asyncio.timeout(LONG):
        assert await follower.take() == [A]


async def test_much_comes_in_batches() -> None:
    follower = await begun()
    for number in range(BATCH + 1):
        follower.note(ConversationId(f"{number}"))
    assert [len(await follower.take() or ()) for _ in range(2)] == [BATCH, 1]


async def test_too_many_changes_become_one_snapshot() -> None:
    follower = await begun()
    for number in range(KEPT + 1):
        follower.note(ConversationId(f"{number}"))
    assert await follower.take() is None
    follower.note(B)
    assert await follower.take() == [B]


async def test_what_changes_while_a_snapshot_is_read_is_told_behind_it() -> None:
    follower = await begun()
    follower.note(A)
    follower.renew()
    assert await follower.take() is None
    follower.note(B)
    assert await follower.take() == [B]


async def test_the_end_comes_behind_what_there_is() -> None:
    follower = await begun()
    follower.note(A)
    follower.end()
    assert await follower.take() == [A]
    assert await follower.take() == []


async def test_a_session_that_shows_the_same_is_no_change() -> None:
    feed, follower = ListFeed(), await begun()
    feed.followers.add(follower)
    feed.session_changed(A, ("Running", 0.0))
    assert await follower.take() == [A]
    feed.session_changed(A, ("Running", 0.0))
    feed.session_changed(B, ("Ready", 0.0))
    assert await follower.take() == [B]
    feed.session_ended(A)
    feed.session_changed(A, ("Running", 0.0))
    assert await follower.take() == [A]


async def test_a_list_that_is_not_followed_costs_nothing_and_leaves_nothing() -> None:
    feeds = ListFeeds()
    feeds.changed(ADA, A)
    assert feeds.find(ADA) is None
    with feeds.follower(ADA) as one, feeds.follower(ADA) as other, feeds.follower(BOB) as bob:
        assert [await each.take() for each in (one, other, bob)] == [None] * 3
        feeds.changed(ADA, A)
        assert await one.take() == await other.take() == [A]
        bob.end()
        assert await bob.take() == []
    assert feeds.find(ADA) is None


async def test_who_comes_after_the_end_gets_a_snapshot_and_the_end() -> None:
    feeds = ListFeeds()
    feeds.end()
    with feeds.follower(ADA) as late:
        assert await late.take() is None
        assert await late.take() == []


async def test_a_renewal_is_for_the_followers_of_every_list() -> None:
    feeds = ListFeeds()
    with feeds.follower(ADA) as ada, feeds.follower(BOB) as bob:
        assert [await each.take() for each in (ada, bob)] == [None, None]
        feeds.changed(ADA, A)
        feeds.renew()
        assert [await each.take() for each in (ada, bob)] == [None, None]
