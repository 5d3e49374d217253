"""What feeds keep in memory of their newest items."""

from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.ids import ConversationId, EventId
from openhands_sessions.ports.gateway import Status
from openhands_sessions.session.recent_items import TRANSIENTS, RecentItems, RecentMemory, Transient

STATUS = Status("info", None, ConversationId("talk"))


def entries(first: int, count: int, size: int = 100) -> list[Stored]:
    return [Stored(EventId(number), "action:message", 1, "x" * size) for number in range(first, first + count)]


def test_the_conversation_that_was_written_longest_ago_gives_way() -> None:
    memory = RecentMemory(most=1_000)
    first, second, third = (RecentItems(memory) for _ in range(3))
    first.add(entries(0, 4))
    second.add(entries(0, 4))
    first.add(entries(4, 1))
    third.add(entries(0, 4))
    assert second.between(-1, 3) is None
    assert [entry.id for entry in first.between(-1, 4) or ()] == [0, 1, 2, 3, 4]
    assert [entry.id for entry in third.between(0, 2) or ()] == [1, 2]


def test_what_has_given_way_is_kept_again_from_the_next_event_on() -> None:
    memory = RecentMemory(most=300)
    early, late = RecentItems(memory), RecentItems(memory)
    early.add(entries(0, 2))
    late.add(entries(0, 2))
    early.add(entries(2, 1))
    assert early.between(1, 2) == entries(2, 1)
    assert early.between(0, 2) is None


def test_one_conversation_alone_may_take_all_there_is() -> None:
    items = RecentItems(RecentMemory(most=10))
    items.add(entries(0, 3))
    assert items.between(-1, 2) == entries(0, 3)


def test_all_who_ask_for_the_same_events_get_the_same_batch() -> None:
    items = RecentItems(RecentMemory())
    items.add(entries(0, 3))
    assert items.between(0, 2) is items.between(0, 2)
    items.add(entries(3, 1))
    assert items.between(0, 3) == entries(1, 3)


def test_transient_items_give_way_too_and_are_then_missed() -> None:
    memory = RecentMemory(most=1)
    items, other = RecentItems(memory), RecentItems(memory)
    for number in range(1, TRANSIENTS + 3):
        items.add_transient(Transient(number, -1, STATUS))
    oldest = items.transient_after(0)
    assert oldest is not None
    assert oldest.number == 3
    other.add(entries(0, 1))
    assert items.transient_after(0) is None
    items.add_transient(Transient(TRANSIENTS + 3, -1, STATUS))
    newest = items.transient_after(0)
    assert newest is not None
    assert newest.number == TRANSIENTS + 3
