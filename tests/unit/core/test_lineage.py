"""Which events are visible after which moves."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openhands_sessions.core.dialogue import dialogue
from openhands_sessions.core.events.actions import MessageAction, RunAction
from openhands_sessions.core.events.branches import BranchDeletedObservation
from openhands_sessions.core.events.event import Event, Source
from openhands_sessions.core.events.observations import LEFT_RUNNING, RunMetadata, RunObservation
from openhands_sessions.core.events.own import (
    CheckpointCreatedObservation,
    HistoryMovedObservation,
    MoveReason,
    StopReason,
    TurnEndedObservation,
)
from openhands_sessions.core.evolve import evolve
from openhands_sessions.core.ids import UNNUMBERED, EventId
from openhands_sessions.core.lineage import (
    MAIN,
    Branch,
    Chain,
    Checkpoint,
    Lineage,
    at_most,
    between,
    goes_back_to,
    moved,
    on_chain,
)
from openhands_sessions.core.view import LOG_WIDE, ConversationView
from tests.support.log_builder import STEPS, LogBuilder, built_log
from tests.support.moved_logs import books, ends_of_turns, move, views_of
from tests.support.valid_history import valid


def lineage(*moves: tuple[int, int]) -> Lineage:
    return Lineage(moves=tuple((EventId(at), EventId(to)) for at, to in moves))


@pytest.mark.parametrize(
    ("moves", "event", "chain"),
    [
        ((), -1, ()),
        ((), 7, ((0, 7),)),
        (((5, 2),), 4, ((0, 4),)),
        (((5, 2),), 8, ((0, 2), (5, 8))),
        (((5, 4),), 8, ((0, 8),)),
        (((5, 2), (9, 4)), 9, ((0, 4), (9, 9))),
        (((5, 2), (9, 7)), 12, ((0, 2), (5, 7), (9, 12))),
        (((5, 2), (9, 7), (13, 1)), 13, ((0, 1), (13, 13))),
        (((5, 2), (9, 7), (13, 1)), 8, ((0, 2), (5, 8))),
    ],
)
def test_a_chain_leads_back_over_each_move_to_the_first_event(
    moves: tuple[tuple[int, int], ...], event: int, chain: Chain
) -> None:
    assert lineage(*moves).path(event) == chain


@st.composite
def moves(draw: st.DrawFn) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    at = 0
    for _ in range(draw(st.integers(0, 8))):
        at += draw(st.integers(1, 5))
        found.append((at, draw(st.integers(0, at - 1))))
    return found


@given(moves(), st.integers(-1, 50))
@settings(max_examples=200, deadline=None)
def test_a_chain_has_each_event_and_the_one_that_it_follows(found: list[tuple[int, int]], event: int) -> None:
    parents = {at: at - 1 for at in range(51)} | dict(found)
    walked = []
    at = event
    while at >= 0:
        walked.append(at)
        at = parents[at]
    chain = lineage(*found).path(event)
    assert [one for start, end in chain for one in range(start, end + 1)] == walked[::-1]
    assert all(before[1] + 1 < after[0] for before, after in pairwise(chain))
    for one in range(-1, 52):
        assert on_chain(chain, one) == (one in walked)
        assert at_most(chain, one) == max((each for each in walked if each <= one), default=UNNUMBERED)
        inside = [each for start, end in between(chain, one, one + 9) for each in range(start, end + 1)]
        assert inside == [each for each in walked[::-1] if one < each < one + 9]


@pytest.mark.parametrize("to", [-2, -1, 5, 6, 2**53])
def test_a_move_to_no_earlier_event_moves_nothing(to: int) -> None:
    book = built_log(["message"])
    before = views_of(book.events)[-1]
    wrong_to = EventId(to if to < 5 else to - 5 + len(book.events))
    [wrong] = book.append(HistoryMovedObservation(to=wrong_to, reason=MoveReason.MOVE, branch="x"))
    assert isinstance(wrong, HistoryMovedObservation)
    assert goes_back_to(wrong) is None
    after = views_of(book.events)[-1]
    assert (after.chain, after.lineage, after.owed) == (((0, wrong.id),), before.lineage, True)


def test_what_is_left_stays_as_a_branch_and_one_that_is_gone_on_with_is_no_other_any_more() -> None:
    found = moved(Lineage(), _move(9, 4, branch=MAIN, left="1", tip=8))
    assert (found.branch, found.branches) == (MAIN, (Branch(name="1", tip=EventId(8)),))
    assert found.new_name() == "2"
    found = moved(found, _move(12, 8, branch="1", left=MAIN, tip=11))
    assert (found.branch, found.branches) == ("1", (Branch(name=MAIN, tip=EventId(11)),))
    assert [found.known(name) for name in ("1", MAIN, "2")] == [True, True, False]


def _move(at: int, to: int, *, branch: str, left: str, tip: int) -> HistoryMovedObservation:
    return HistoryMovedObservation(
        id=EventId(at), to=EventId(to), reason=MoveReason.MOVE, branch=branch, left_branch=left, left_tip=EventId(tip)
    )


def on(chain: Chain, events: list[Event]) -> list[Event]:
    return [event for event in events if on_chain(chain, event.id)]


@given(books())
@settings(max_examples=150, deadline=None)
def test_the_dialogue_of_any_chain_is_a_valid_history(book: LogBuilder) -> None:
    view = views_of(book.events)[-1]
    chains = [view.chain, *(view.lineage.path(branch.tip) for branch in view.lineage.branches)]
    for chain in chains:
        messages: Any = dialogue(on(chain, book.events))
        assert valid(messages)


@given(books())
@settings(max_examples=150, deadline=None)
def test_what_is_of_the_chain_is_as_if_nothing_else_had_been_said(book: LogBuilder) -> None:
    for view in views_of(book.events)[1:]:
        alone = views_of(_without_gaps(view, book.events))[-1]
        assert (view.owed, view.pending, view.between_turns) == (alone.owed, alone.pending, alone.between_turns)
        assert (view.agent_state, view.planned, view.form, view.recalled) == (
            alone.agent_state,
            alone.planned,
            alone.form,
            alone.recalled,
        )
        assert (view.settled, view.turn_message, view.turn_start) == (
            alone.settled,
            alone.turn_message,
            alone.turn_start,
        )


def _without_gaps(view: ConversationView, events: list[Event]) -> list[Event]:
    """The chain's events without the moves."""
    return [event for event in on(view.chain, events) if not isinstance(event, HistoryMovedObservation)]


@given(books(), st.data())
@settings(max_examples=100, deadline=None)
def test_a_move_and_back_leaves_the_dialogue_and_the_state_as_they_were(book: LogBuilder, data: st.DataObject) -> None:
    before = views_of(book.events)[-1]
    if not before.between_turns:
        return
    was = on(before.chain, book.events)
    move(book, data.draw(st.sampled_from(ends_of_turns(book))))
    move(book, before.settled)
    after = views_of(book.events)[-1]
    shown = on(after.chain, book.events)[:-2]
    assert shown == [event for event in was if event.id <= before.settled]
    assert dialogue(shown) == dialogue([event for event in was if event.id <= before.settled])
    for name in ("settled", "turn_message", "turn_start", "condensed", "task_list", "first_message", "last_message"):
        if before.head == before.settled:
            assert getattr(after, name) == getattr(before, name)


@given(books())
@settings(max_examples=100, deadline=None)
def test_what_is_of_the_whole_log_is_no_less_after_a_move(book: LogBuilder) -> None:
    views = views_of(book.events)
    for event, before, after in zip(book.events, views, views[1:], strict=False):
        if isinstance(event, HistoryMovedObservation):
            same = [name for name in LOG_WIDE if name not in ("head", "lineage", "cost_before_turn")]
            assert [getattr(after, name) for name in same] == [getattr(before, name) for name in same]
            assert after.between_turns


def test_a_turn_is_known_by_the_message_that_opened_it() -> None:
    book = built_log(["message", "one call", "message", "observe", "speak", "message", "speak"])
    said = [event.id for event in book.events if isinstance(event, MessageAction) and event.source is Source.USER]
    over = [event.id for event in book.events if isinstance(event, TurnEndedObservation)]
    view = views_of(book.events)[-1]
    assert (view.turn_message, view.turn_start, view.settled) == (said[2], over[0], over[1])
    earlier = views_of(book.events[: over[0] + 1])[-1]
    assert (earlier.turn_message, earlier.turn_start, earlier.settled) == (said[0], view.system, over[0])


def test_a_turn_that_is_owed_an_answer_to_a_later_message_has_not_ended() -> None:
    book = built_log(["message", "message"])
    [ended] = book.append(TurnEndedObservation(stop_reason=StopReason.WAITING, seen=book.events[-2].id - 1))
    assert views_of(book.events)[-1].settled < ended.id
    book = built_log(["message", "ask"])
    assert views_of(book.events)[-1].settled == views_of(book.events)[-1].system


def test_a_checkpoint_made_in_a_turn_lies_at_its_end() -> None:
    book = built_log(["message", "one call"])
    book.append(CheckpointCreatedObservation(name="before", description="all well"))
    assert views_of(book.events)[-1].lineage.checkpoints == (
        Checkpoint(name="before", description="all well", at=UNNUMBERED),
    )
    STEPS["observe"](book)
    STEPS["speak"](book)
    view = views_of(book.events)[-1]
    assert [each.at for each in view.lineage.checkpoints] == [view.settled]
    book.append(CheckpointCreatedObservation(name="after"))
    assert [each.at for each in views_of(book.events)[-1].lineage.checkpoints] == [view.settled, view.settled]


def test_a_command_that_runs_on_is_still_to_be_ended_by_a_stop_after_its_turn_was_taken_back() -> None:
    book = built_log(["message", "one call"])
    action = next(event for event in book.events if isinstance(event, RunAction))
    left = RunObservation(cause=action.id, command="ls", metadata=RunMetadata(suffix=LEFT_RUNNING))
    ended = TurnEndedObservation(stop_reason=StopReason.WAITING, seen=left.cause or 0)
    book.append(left, ended)
    before = views_of(book.events)[-1]
    move(book, before.turn_start)
    after = views_of(book.events)[-1]
    assert (before.sandbox.left_running, after.sandbox.left_running, after.under_way) == (action.id, action.id, True)
    book.stop()
    assert views_of(book.events)[-1].sandbox.left_running is None


@given(books(), st.data())
@settings(max_examples=150, deadline=None)
def test_a_branch_that_is_deleted_is_known_by_no_name_and_nothing_else_changes(
    book: LogBuilder, data: st.DataObject
) -> None:
    before = views_of(book.events)[-1]
    names = [branch.name for branch in before.lineage.branches]
    name = data.draw(st.sampled_from([*names, "unknown"]))
    [deleted] = book.append(BranchDeletedObservation(name=name))
    after = views_of(book.events)[-1]
    assert after.lineage == evolve(
        before.lineage, branches=tuple(one for one in before.lineage.branches if one.name != name)
    )
    assert evolve(after, head=before.head, lineage=before.lineage) == before
    assert after.lineage.path(before.head) == before.chain
    assert after.chain[-1][1] == deleted.id
