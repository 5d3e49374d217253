"""Turns of two dialogues come in one order: the same from either side, and the same again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from openhands_sessions.core.copying import EventCopies
from openhands_sessions.core.events.codec import Stored, stored
from openhands_sessions.core.events.own import StopReason, TurnEndedObservation
from openhands_sessions.core.ids import ConversationId, EventId
from openhands_sessions.core.lineage import on_chain
from openhands_sessions.core.merging import WholeTurn, merged_order, shared_beginning, whole_turns
from tests.support.log_builder import LogBuilder
from tests.support.moved_logs import books, ends_of_turns, views_of

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
SID = ConversationId("talk")


def turn(key: str, second: int = 0) -> WholeTurn:
    return WholeTurn(key=key, ended=BEGUN + timedelta(seconds=second), entries=())


def keys(turns: Sequence[WholeTurn]) -> list[str]:
    return [one.key for one in turns]


@dataclass
class Dialogues:
    """Dialogues that begin alike, grow apart, and are merged at random, by clocks that go as they like."""

    known: list[list[WholeTurn]] = field(default_factory=lambda: [[turn("begin")]])
    count: int = 0

    def speak(self, place: int, second: int) -> None:
        self.count += 1
        self.known[place % len(self.known)].append(turn(f"turn {self.count}", second))

    def fork(self, place: int, length: int) -> None:
        source = self.known[place % len(self.known)]
        self.known.append(source[: 1 + length % len(source)])

    def merge(self, place: int, other: int) -> None:
        ours, theirs = self.known[place % len(self.known)], self.known[other % len(self.known)]
        ours[:] = merged_order(ours, theirs).turns


@st.composite
def dialogues(draw: st.DrawFn) -> Dialogues:
    grown = Dialogues()
    steps = st.tuples(st.sampled_from(["speak"] * 4 + ["fork", "fork", "merge"]), st.integers(0, 9), st.integers(0, 9))
    for step, place, number in draw(st.lists(steps, max_size=40)):
        getattr(grown, step)(place, number)
    return grown


@given(dialogues(), st.integers(0, 9), st.integers(0, 9))
def test_a_merge_has_every_turn_once_in_the_order_of_both_and_the_same_from_either_side(
    grown: Dialogues, place: int, other: int
) -> None:
    ours, theirs = grown.known[place % len(grown.known)], grown.known[other % len(grown.known)]
    merged = merged_order(ours, theirs)
    order = keys(merged.turns)
    assert sorted(order) == sorted({*keys(ours), *keys(theirs)})
    assert order == keys(merged_order(theirs, ours).turns)
    assert keys(merged_order(merged.turns, theirs).turns) == order
    assert keys(merged_order(theirs, merged.turns).turns) == order
    if not merged.conflicts:
        for dialogue in (ours, theirs):
            assert [key for key in order if key in set(keys(dialogue))] == keys(dialogue)
    common = shared_beginning(ours, theirs)
    assert order[:common] == keys(ours)[:common]


@given(books(), st.data())
def test_the_turns_of_branches_of_a_log_are_whole_and_shared_where_the_branches_are(
    book: LogBuilder, data: st.DataObject
) -> None:
    view = views_of(book.events)[-1]
    ends = ends_of_turns(book)
    chains = [view.lineage.path(data.draw(st.sampled_from(ends))) for _ in range(2)] if ends else []
    turns = [list(whole_turns(SID, on(chain, book))) for chain in chains]
    for chain, found in zip(chains, turns, strict=True):
        entries = [entry.id for one in found for entry in one.entries]
        assert entries == [entry.id for entry in on(chain, book)][: len(entries)]
        copies, made = EventCopies(SID), list[Stored]()
        for entry in on(chain, book):
            made += copies.stored(entry, len(made))
        assert keys(list(whole_turns(ConversationId("fork"), made))) == keys(found)
    if chains:
        shared = shared_beginning(*turns)
        assert [one.last for one in turns[0][:shared]] == [one.last for one in turns[1][:shared]]


def on(chain: Sequence[tuple[EventId, EventId]], book: LogBuilder) -> list[Stored]:
    return [stored(event) for event in book.events if on_chain(tuple(chain), event.id)]


def test_of_turns_that_could_follow_the_one_that_ended_first_comes_first_but_never_before_its_own() -> None:
    ours = [turn("begin"), turn("a1", 5), turn("a2", 1)]
    theirs = [turn("begin"), turn("b1", 3), turn("b2", 4)]
    assert keys(merged_order(ours, theirs).turns) == ["begin", "b1", "b2", "a1", "a2"]


def test_turns_in_two_orders_are_listed_and_none_is_lost() -> None:
    ours, theirs = [turn("begin"), turn("a", 1), turn("b", 2)], [turn("begin"), turn("b", 1), turn("a", 2)]
    merged = merged_order(ours, theirs)
    assert sorted(keys(merged.turns)) == ["a", "b", "begin"]
    assert list(merged.conflicts) != []


def test_a_turn_that_waits_for_an_answer_or_goes_on_with_a_message_is_no_whole_one() -> None:
    ends = [
        TurnEndedObservation(id=EventId(0), stop_reason=StopReason.APPROVAL, seen=0),
        TurnEndedObservation(id=EventId(1), stop_reason=StopReason.DONE, seen=0, moved_to=EventId(1)),
        TurnEndedObservation(id=EventId(2), stop_reason=StopReason.DONE, seen=2),
        TurnEndedObservation(id=EventId(3), stop_reason=StopReason.APPROVAL, seen=0),
    ]
    [whole] = whole_turns(SID, [stored(each) for each in ends])
    assert [entry.id for entry in whole.entries] == [0, 1, 2]
