"""A stream numbers, stores and folds; appends fail, are cancelled, and go on."""

import asyncio
from datetime import timedelta

import pytest

from openhands_sessions.core.errors import Conflict, Fenced, NotFound, StorageUnavailable
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.codec import decode
from openhands_sessions.core.events.event import Event, Source
from openhands_sessions.core.ids import ConversationId, EventId, OwnerId
from openhands_sessions.core.measurements import Measurements
from openhands_sessions.core.view import VIEW_VERSION
from openhands_sessions.ports.store import EventLog, Receipt, Snapshot
from openhands_sessions.session.event_stream import EventStream
from openhands_sessions.session.feed import Feed
from openhands_sessions.session.log_folding import Folding, saving
from tests.fakes.memory_store import MemoryStore
from tests.fakes.store import HeldLog
from tests.support.store_entries import NOW, TALK, ids, read


def said(text: str = "x") -> MessageAction:
    return MessageAction(source=Source.USER, content=text)


async def opened(log: EventLog, *, term: int = 1, snapshot: Snapshot | None = None) -> EventStream:
    stream = EventStream(log, Feed(log), lambda: NOW)
    await stream.load(term, snapshot)
    return stream


async def texts(log: EventLog) -> list[str]:
    return [decode(entry.text).describe() for entry in await read(log)]


async def test_events_are_numbered_from_0_stamped_and_folded(log: EventLog) -> None:
    stream = await opened(log)
    first = await stream.append(said("a"), said("b"))
    second = await stream.append(said("c"))
    assert [event.id for event in (*first, *second)] == [0, 1, 2]
    assert {event.timestamp for event in (*first, *second)} == {NOW}
    assert (stream.view.head, stream.view.last_message, stream.next_id) == (2, 2, 3)
    assert await texts(log) == ["a", "b", "c"]


async def test_appends_are_measured_and_those_that_fail_are_counted(log: EventLog) -> None:
    measured, held = Measurements(), HeldLog(log, failing=[1])
    stream = EventStream(held, Feed(held), lambda: NOW, measurements=measured)
    await stream.load(1, None)
    appends = [stream.append(said("a"), said("b")), stream.append(said("c"))]
    await held.release()
    await asyncio.gather(*appends, return_exceptions=True)
    assert (measured.events, sum(measured.appends.counts), measured.failed_appends) == (2, 1, 1)
    assert measured.appends.sum > 0


async def test_the_clock_is_read_once_for_an_append(log: EventLog) -> None:
    moments = iter(NOW + timedelta(seconds=n) for n in range(9))
    stream = EventStream(log, Feed(log), lambda: next(moments))
    await stream.load(1, None)
    found = [event.timestamp for _ in range(2) for event in await stream.append(said(), said())]
    assert found == [NOW, NOW, NOW + timedelta(seconds=1), NOW + timedelta(seconds=1)]


async def test_nothing_is_folded_before_it_is_durable(log: EventLog) -> None:
    held = HeldLog(log)
    stream = await opened(held)
    appending = stream.append(said())
    assert (stream.view.head, stream.next_id) == (-1, 1)
    await asyncio.sleep(0)
    assert not appending.done()
    await held.release()
    assert (stream.view.head, appending.done()) == (0, True)
    await appending


async def test_appends_may_be_pipelined(log: EventLog) -> None:
    held = HeldLog(log)
    stream = await opened(held)
    appends = [stream.append(said(str(number))) for number in range(5)]
    await held.release()
    assert [event.id for [event] in await asyncio.gather(*appends)] == [0, 1, 2, 3, 4]
    assert await texts(log) == list("01234")


@pytest.mark.parametrize("failing", range(5))
@pytest.mark.parametrize("at_once", [True, False])
async def test_an_append_that_fails_takes_those_behind_it_along_and_leaves_no_hole(
    log: EventLog, failing: int, at_once: bool
) -> None:
    held = HeldLog(log, refused=[failing] if at_once else (), failing=() if at_once else [failing])
    stream = await opened(held)
    appends = [stream.append(said(str(number))) for number in range(5)]
    await held.release()
    outcomes = await asyncio.gather(*appends, return_exceptions=True)
    assert all(not isinstance(outcome, BaseException) for outcome in outcomes[:failing])
    assert isinstance(outcomes[failing], StorageUnavailable)
    assert all(isinstance(outcome, Conflict) for outcome in outcomes[failing + 1 :])
    again = stream.append(said("again"))
    await held.release()
    assert [event.id for event in await again] == [failing]
    assert await texts(log) == [*"01234"[:failing], "again"]
    assert stream.view.head == failing


@pytest.mark.parametrize("waiting", range(4))
async def test_an_append_behind_one_that_failed_at_once_waits_for_those_before_it(log: EventLog, waiting: int) -> None:
    """The one that fails is refused while `waiting` are still on their way to the disk."""
    held = HeldLog(log, refused=[waiting])
    stream = await opened(held)
    before = [stream.append(said(f"before {number}")) for number in range(waiting)]
    refused = stream.append(said("refused"))
    await asyncio.sleep(0)
    behind = stream.append(said("behind"))
    await held.release()
    await asyncio.gather(*before)
    with pytest.raises(StorageUnavailable):
        await refused
    assert [event.id for event in await behind] == [waiting]
    assert ids(await read(log)) == list(range(waiting + 1))


async def test_failures_in_any_order_leave_no_hole(log: EventLog) -> None:
    held = HeldLog(log, refused=[1, 5], failing=[3])
    stream = await opened(held)
    outcomes: list[object] = []
    for step in range(9):
        appending = stream.append(said(str(step)), said(f"{step}'"))
        if step % 3 == 2:
            await held.release(1)
        await asyncio.sleep(0)
        outcomes.append(appending)
    await held.release()
    found = await asyncio.gather(*outcomes, return_exceptions=True)  # type: ignore[call-overload]  # they are futures
    kept = [step for step, outcome in enumerate(found) if not isinstance(outcome, BaseException)]
    assert await texts(log) == [text for step in kept for text in (str(step), f"{step}'")]
    assert stream.view.head == 2 * len(kept) - 1
    after = stream.append(said("after"))
    await held.release()
    assert [event.id for event in await after] == [2 * len(kept)]


async def test_a_caller_who_is_cancelled_takes_nothing_back(log: EventLog) -> None:
    held = HeldLog(log)
    stream = await opened(held)

    async def appends() -> None:
        await stream.append(said("a"))

    task = asyncio.create_task(appends())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    behind = stream.append(said("b"))
    await held.release()
    assert [event.id for event in await behind] == [1]
    assert await texts(log) == ["a", "b"]
    assert stream.view.head == 1


async def test_an_older_owner_writes_nothing(log: EventLog) -> None:
    old = await opened(log, term=1)
    new = await opened(log, term=2)
    await new.append(said("new"))
    with pytest.raises(Fenced):
        await old.append(said("old"))
    assert await texts(log) == ["new"]
    assert old.view.head == -1


async def test_the_receipt_names_the_first_event(log: EventLog) -> None:
    stream = await opened(log)
    await stream.append(said())
    await stream.append(said(), said(), receipt=Receipt(key="k", digest="d", event=EventId(-1)))
    assert await stream.receipt("k") == Receipt(key="k", digest="d", event=EventId(1))
    assert await stream.receipt("other") is None


async def test_one_event_can_be_looked_up(log: EventLog) -> None:
    stream = await opened(log)
    await stream.append(said("a"), said("b"))
    assert (await stream.event(1)).describe() == "b"
    with pytest.raises(NotFound):
        await stream.event(2)


async def test_listeners_hear_each_event_once_it_is_folded(log: EventLog) -> None:
    stream = await opened(log)
    heard: list[tuple[int, int]] = []

    def listener(event: Event) -> None:
        heard.append((event.id, stream.view.head))

    stream.listen(listener)
    await stream.append(said(), said())
    await stream.append(said())
    assert [number for number, _ in heard] == [0, 1, 2]
    assert all(number <= head for number, head in heard)


async def test_what_cannot_be_stored_is_not_heard_either(log: EventLog) -> None:
    stream = await opened(log)
    heard: list[Event] = []
    stream.listen(heard.append)
    [event] = await stream.append(said("a\ud800"))
    assert event.describe() == heard[0].describe() == "a\ufffd"


@pytest.mark.parametrize("events", [0, 1, 4, 7])
async def test_a_stream_goes_on_from_a_snapshot_where_it_left_off(log: EventLog, events: int) -> None:
    first = await opened(log)
    for number in range(events):
        await first.append(said(str(number)))
    snapshot = first.snapshot()
    for number in range(3):
        await first.append(said(f"later {number}"))
    again = await opened(log, term=2, snapshot=snapshot)
    assert again.view == first.view
    assert (await again.append(said()))[0].id == events + 3


@pytest.mark.parametrize(
    "snapshot",
    [
        Snapshot(EventId(1), VIEW_VERSION - 1, '{"head":1,"agent_state":"stopped"}'),
        Snapshot(EventId(1), VIEW_VERSION, "{"),
        Snapshot(EventId(1), VIEW_VERSION, '{"head":"x"}'),
        Snapshot(EventId(77), VIEW_VERSION, '{"head":77,"owed":true}'),
    ],
)
async def test_a_snapshot_that_does_not_fit_costs_a_fold_and_nothing_else(log: EventLog, snapshot: Snapshot) -> None:
    first = await opened(log)
    await first.append(said(), said(), said())
    again = await opened(log, term=2, snapshot=snapshot)
    assert again.view == first.view
    assert (await again.append(said()))[0].id == 3


async def test_an_unknown_entry_does_not_stop_a_stream(log: EventLog) -> None:
    stream = await opened(log)
    unknown = decode('{"id":0,"observation":"moon","phase":"full"}')
    await stream.append(unknown, said())
    again = await opened(log, term=2)
    assert again.view.head == 1
    assert '"phase":"full"' in (await read(log))[0].text


async def test_a_long_log_that_is_folded_leaves_snapshots_on_the_way(store: MemoryStore, log: EventLog) -> None:
    first = await opened(log)
    for _ in range(5):
        await first.append(*[said("x")] * 500)
    again = EventStream(log, Feed(log), lambda: NOW)
    await again.load(2, None, Folding(save=saving(store.snapshots, TALK)))
    assert again.view == first.view
    for at, found in ((999, None), (1_000, 1_000), (1_999, 1_000), (None, 2_000)):
        snapshot = await store.snapshots.load(TALK, None if at is None else EventId(at))
        assert (snapshot and snapshot.head) == found
        if snapshot is not None:
            assert (await opened(log, term=3, snapshot=snapshot)).view == first.view


async def test_a_snapshot_that_cannot_be_saved_keeps_no_log_from_being_folded(log: EventLog) -> None:
    class Full:
        async def load(self, sid: ConversationId, at: EventId | None = None) -> None:
            return None

        async def save(self, sid: ConversationId, snapshot: Snapshot) -> None:
            raise StorageUnavailable("the disk is full")

    first = await opened(log)
    await first.append(*[said("x")] * 1_100)
    again = EventStream(log, Feed(log), lambda: NOW)
    await again.load(2, None, Folding(save=saving(Full(), TALK)))
    assert again.view == first.view


async def test_the_author_of_an_append_is_that_of_its_events_but_a_copy_keeps_its_own(log: EventLog) -> None:
    stream = await opened(log)
    copy = MessageAction(source=Source.USER, content="b", origin="other#3", author=OwnerId("bob"))
    note = MessageAction(source=Source.AGENT, content="c")
    events = await stream.append(said("a"), copy, note, author=OwnerId("ada"))
    assert [event.author for event in events] == ["ada", "bob", None]
