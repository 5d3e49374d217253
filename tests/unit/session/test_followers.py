"""Followers get every event once and in order, whenever they come and however slow they are."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.measurements import Measurements
from openhands_sessions.ports.gateway import Delta, FeedItem, SessionClosed, SessionEnded, Status
from openhands_sessions.ports.store import EventLog
from openhands_sessions.session.event_stream import EventStream
from openhands_sessions.session.feed import Feed
from openhands_sessions.session.recent_items import MOST_CHARACTERS, MOST_ENTRIES, TRANSIENTS
from tests.fakes.memory_store import open_memory
from tests.fakes.store import HeldLog
from tests.support.feed_follower import Follower, opened, rest, said
from tests.support.store_entries import NOW, TALK, row


async def later(append: Callable[[MessageAction], Awaitable[object]], event: MessageAction) -> None:
    await rest()
    await append(event)


async def next_of(following: AsyncGenerator[FeedItem, None]) -> FeedItem:
    async with asyncio.timeout(20):
        return await anext(following)


async def ids_of(following: AsyncGenerator[FeedItem, None]) -> list[int]:
    news = await next_of(following)
    assert isinstance(news, Sequence)
    return [entry.id for entry in news]


WRITERS = st.lists(st.lists(st.integers(1, 3), max_size=4), max_size=4)
TAKING = st.lists(st.booleans(), max_size=4)
FOLLOWERS = st.lists(
    st.tuples(st.integers(-1, 12), st.integers(0, 3), st.integers(0, 6), TAKING), min_size=1, max_size=4
)


@given(WRITERS, FOLLOWERS, st.integers(0, 3))
@settings(max_examples=120, deadline=None)
def test_nobody_misses_or_repeats_an_event(
    writers: list[list[int]], followers: list[tuple[int, int, int, list[bool]]], stored: int
) -> None:
    """Writers append at the same time as followers come, each from its own place and at its own pace; some take what
    they can directly."""

    async def story() -> None:
        async with open_memory() as store:
            await store.conversations.create(row(TALK))
            stream = await opened(store.log(TALK))
            for _ in range(stored):
                await stream.append(said())
            here = [Follower(stream, after, pace=pace, direct=direct) for after, pace, _, direct in followers]

            async def comes(follower: Follower, late: int) -> None:
                await rest(late)
                await follower.run()

            async def writes(counts: list[int]) -> None:
                for count in counts:
                    await stream.append(*[said()] * count)

            async with asyncio.timeout(20), asyncio.TaskGroup() as group:
                for follower, (_, _, late, _) in zip(here, followers, strict=True):
                    group.create_task(comes(follower, late))
                writing = [group.create_task(writes(counts)) for counts in writers]
                if writing:
                    await asyncio.wait(writing)
                stream.feed.end("idle")
            total = stored + sum(map(sum, writers))
            for follower, (after, _, _, _) in zip(here, followers, strict=True):
                assert follower.ids == list(range(after + 1, total))
                assert follower.ended == "idle"
            assert stream.feed.followers == 0

    asyncio.run(story())


@pytest.mark.parametrize("size", [10, MOST_CHARACTERS // 40])
async def test_a_follower_far_behind_reads_from_the_storage_and_then_live(log: EventLog, size: int) -> None:
    stream = await opened(log)
    for _ in range(MOST_ENTRIES * 2):
        await stream.append(said("x" * size))
    behind, near = Follower(stream, pace=1), Follower(stream, MOST_ENTRIES * 2 - 3)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(behind.run())
        group.create_task(near.run())
        for _ in range(5):
            await stream.append(said("x" * size))
            await asyncio.sleep(0)
        stream.feed.end("stopped")
    assert behind.ids == list(range(MOST_ENTRIES * 2 + 5))
    assert near.ids == behind.ids[-7:]


async def test_a_cursor_beyond_the_head_waits_for_what_comes_behind_it(log: EventLog) -> None:
    stream = await opened(log)
    await stream.append(said(), said())
    follower = Follower(stream, 3)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(follower.run())
        await rest()
        await stream.append(said(), said(), said())
        stream.feed.end("stopped")
    assert follower.ids == [4]


async def test_a_follower_that_waits_takes_live_items_without_a_turn_of_the_loop(log: EventLog) -> None:
    stream = await opened(log)
    follower = Follower(stream, direct=[True])
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(follower.run())
        await rest()
        stream.feed.publish_transient(delta("a"))
        assert follower.news == [delta("a")]
        await stream.append(said())
        stream.feed.publish_transient(delta("b"))
        assert follower.news == [delta("a"), 0, delta("b")]
        stream.feed.end("stopped")
    assert follower.ended == "stopped"


async def test_what_taking_directly_raises_ends_that_follower_alone(log: EventLog) -> None:
    def broken(news: FeedItem) -> bool:
        raise ConnectionError("gone")

    stream = await opened(log)
    other = Follower(stream, direct=[True])
    following = stream.feed.follow(-1, broken)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(other.run())
        group.create_task(later(stream.append, said()))
        with pytest.raises(ConnectionError):
            await anext(following)
        stream.feed.end("stopped")
    assert other.ids == [0]


async def test_followers_may_wait_for_a_log_that_is_not_folded_yet(log: EventLog) -> None:
    await (await opened(log)).append(said(), said())
    stream = EventStream(log, Feed(log), lambda: NOW)
    follower = Follower(stream)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(follower.run())
        await rest()
        await stream.load(2, None)
        await stream.append(said())
        stream.feed.end("stopped")
    assert follower.ids == [0, 1, 2]


async def test_nobody_sees_an_event_before_it_is_durable(log: EventLog) -> None:
    held = HeldLog(log)
    stream = await opened(held)
    follower = Follower(stream)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(follower.run())
        appending = stream.append(said())
        await rest()
        assert follower.ids == []
        await held.release()
        await appending
        await rest()
        assert follower.ids == [0]
        stream.feed.end("stopped")


async def test_a_follower_who_leaves_is_counted_out(log: EventLog) -> None:
    stream = await opened(log)
    await stream.append(said())
    following = stream.feed.follow(-1)
    assert await ids_of(following) == [0]
    assert stream.feed.followers == 1
    await following.aclose()
    assert stream.feed.followers == 0


async def test_a_follower_who_is_cancelled_is_counted_out(log: EventLog) -> None:
    stream = await opened(log)
    task = asyncio.create_task(Follower(stream).run())
    await rest()
    assert stream.feed.followers == 1
    task.cancel()
    await asyncio.wait([task])
    assert (stream.feed.followers, task.cancelled()) == (0, True)


@pytest.mark.parametrize("reason", ["stopped", "deleted", "shutdown", "idle", "failed"])
async def test_the_end_comes_behind_all_that_is_stored_and_says_why(log: EventLog, reason: str) -> None:
    stream = await opened(log)
    follower = Follower(stream)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(follower.run())
        await stream.append(said())
        stream.feed.end(reason)  # type: ignore[arg-type]  # each is one
        stream.feed.end("idle")
    assert (follower.ids, follower.ended) == ([0], reason)
    late = Follower(stream)
    await late.run()
    assert (late.ids, late.ended) == ([0], reason)


async def test_a_follower_stays_when_a_session_closes_and_hears_of_the_next_one(log: EventLog) -> None:
    stream = await opened(log)
    early = Follower(stream)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(early.run())
        await stream.append(said())
        stream.feed.close("idle")
        await rest()
        late = Follower(stream)
        group.create_task(late.run())
        await rest()
        following_session = EventStream(log, stream.feed, lambda: NOW)
        stream.feed.begin()
        await following_session.load(2, None)
        await following_session.append(said())
        stream.feed.end("stopped")
    assert early.news == late.news == [0, SessionClosed("idle"), 1]


async def test_a_feed_without_a_session_gives_what_is_stored(log: EventLog) -> None:
    await (await opened(log)).append(said(), said())
    feed = Feed(log)
    following = feed.follow(0)
    assert await ids_of(following) == [1]
    feed.load(1)
    feed.end("shutdown")
    with pytest.raises(SessionEnded):
        await next_of(following)


async def test_what_another_process_has_stored_is_read_from_the_log(log: EventLog) -> None:
    stream = await opened(log)
    await stream.append(said())
    other = EventStream(log, Feed(log), lambda: NOW)
    await other.load(2, None)
    await other.append(said(), said())
    stream.feed.load(2)
    following = stream.feed.follow(-1)
    assert await ids_of(following) == [0, 1, 2]
    await following.aclose()


def delta(text: str) -> Delta:
    return Delta("reply", "1", 0, text)


async def test_transient_items_come_between_the_events_that_they_came_between(log: EventLog) -> None:
    stream = await opened(log)
    fast, slow = Follower(stream), Follower(stream, pace=50)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(fast.run())
        group.create_task(slow.run())
        await rest()
        for number in range(5):
            stream.publish_transient(delta(str(number)))
            await stream.append(said())
        stream.publish_transient(delta("last"))
        stream.feed.end("stopped")
    story: list[int | Delta] = [thing for number in range(5) for thing in (delta(str(number)), number)]
    assert fast.news == slow.news == [*story, delta("last")]


async def test_transient_items_from_before_are_not_for_those_who_come_later(log: EventLog) -> None:
    stream = await opened(log)
    stream.publish_transient(delta("before"))
    following = stream.feed.follow(-1)
    first = asyncio.create_task(next_of(following))
    await rest()
    stream.publish_transient(delta("after"))
    assert await first == delta("after")
    await following.aclose()


async def test_the_statuses_of_a_set_up_are_for_whoever_comes_while_it_lasts(log: EventLog) -> None:
    stream = await opened(log)
    stream.feed.begin()
    for name in ("A", "B"):
        stream.publish_transient(Status("info", name, ""))
    follower = Follower(stream)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(follower.run())
        await rest()
        stream.feed.end("stopped")
    assert follower.news == [Status("info", "A", ""), Status("info", "B", "")]


async def test_a_follower_too_far_behind_loses_transient_items_and_no_event(log: EventLog) -> None:
    measured = Measurements()
    stream = EventStream(log, Feed(log, measured), lambda: NOW)
    await stream.load(1, None)
    following = stream.feed.follow(-1)
    stream.publish_transient(delta("heard"))
    # not yet begun to follow, so the first transient item that it gets is one from after its beginning
    task = asyncio.create_task(next_of(following))
    await rest()
    await stream.append(said())
    assert not isinstance(await task, Delta)
    for number in range(TRANSIENTS * 2):
        stream.publish_transient(delta(str(number)))
    await stream.append(said())
    found = [await next_of(following) for _ in range(TRANSIENTS + 1)]
    assert found[:TRANSIENTS] == [delta(str(number)) for number in range(TRANSIENTS, TRANSIENTS * 2)]
    assert not isinstance(found[-1], Delta)
    assert measured.transients_lost == TRANSIENTS
    await following.aclose()
