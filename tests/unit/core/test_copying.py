"""Copies of a chain are a log of their own: dense, whole, and without what would count or act a second time."""

from collections.abc import Sequence
from typing import Any

import orjson
from hypothesis import given

from openhands_sessions.core.copying import NOT_COPIED, EventCopies
from openhands_sessions.core.events.actions import ChangeAgentStateAction, CondensationAction, MessageAction
from openhands_sessions.core.events.codec import Stored, decode, stored
from openhands_sessions.core.events.event import AgentState, Event, Source
from openhands_sessions.core.events.own import (
    FeedbackGivenObservation,
    FeedbackKind,
    MessageQueuedAction,
    StopReason,
    TurnEndedObservation,
)
from openhands_sessions.core.evolve import evolve
from openhands_sessions.core.fold import Fold
from openhands_sessions.core.ids import UNNUMBERED, ConversationId, EventId
from openhands_sessions.core.lineage import on_chain
from openhands_sessions.core.view import ConversationView
from tests.support.log_builder import LogBuilder
from tests.support.moved_logs import books, views_of

SID = ConversationId("talk")


def copied(sid: ConversationId, entries: Sequence[Stored]) -> list[Stored]:
    copies, made = EventCopies(sid), list[Stored]()
    for entry in entries:
        made += copies.stored(entry, len(made))
    return made


def copies_of(events: list[Event]) -> list[dict[str, Any]]:
    made = copied(SID, [stored(event) for event in events])
    return [orjson.loads(entry.text) for entry in made]


def numbered(*events: Event, first: int = 0) -> list[Event]:
    return [evolve(event, id=EventId(number)) for number, event in enumerate(events, first)]


@given(books())
def test_a_copied_chain_folds_to_a_log_at_rest_with_each_event_once(book: LogBuilder) -> None:
    view = views_of(book.events)[-1]
    chain = view.lineage.path(view.settled)
    on_it = [stored(event) for event in book.events if on_chain(chain, event.id)]
    made = copied(SID, on_it)
    events = [decode(entry.text) for entry in made]
    kept = [entry for entry in on_it if entry.kind not in NOT_COPIED]
    assert [entry.id for entry in made] == list(range(len(kept)))
    assert [event.origin for event in events] == [f"{SID}#{entry.id}" for entry in kept]
    copy_of = {entry.id: number for number, entry in enumerate(kept)}
    for event, entry in zip(events, kept, strict=True):
        cause = decode(entry.text).cause
        assert event.cause == (None if cause is None else copy_of.get(cause))
    check_at_rest(made, views_of(events)[-1])


def check_at_rest(made: list[Stored], view: ConversationView) -> None:
    fold = Fold(ConversationView())
    for entry in made:
        fold.add(entry)
    assert fold.view == view
    assert view.between_turns
    assert view.spent.cost == 0
    assert view.queued == ()
    assert view.lineage.moves == ()
    assert view.head == UNNUMBERED or view.settled == view.head


def test_the_numbers_that_events_name_each_other_by_are_those_of_the_copies() -> None:
    events = numbered(
        MessageAction(source=Source.USER, content="one", turn=EventId(7), key="k"),
        ChangeAgentStateAction(agent_state=AgentState.RUNNING),
        MessageAction(source=Source.AGENT, content="two", turn=EventId(7), llm_metrics={"accumulated_cost": 1.0}),
        CondensationAction(forgotten_events_start_id=6, forgotten_events_end_id=9, summary="s"),
        FeedbackGivenObservation(feedback=FeedbackKind.UP, about=EventId(9)),
        TurnEndedObservation(stop_reason=StopReason.DONE, seen=9, turn=EventId(7)),
        first=7,
    )
    said, _, reply, condensed, feedback, ended = copies_of(events)
    assert "key" not in said["args"]
    assert "llm_metrics" not in reply
    assert [one["turn"] for one in (said, reply, ended)] == [0, 0, 0]
    args = condensed["args"]
    assert (args["forgotten_events_start_id"], args["forgotten_events_end_id"]) == (0, 2)
    assert feedback["extras"]["about"] == 2
    assert ended["extras"]["seen"] == 2


def test_a_turn_that_was_asked_for_on_another_branch_is_named_by_its_first_event() -> None:
    events = numbered(
        MessageQueuedAction(source=Source.USER, content="later", turn=EventId(4)),
        MessageAction(source=Source.USER, content="later", turn=EventId(4)),
        TurnEndedObservation(stop_reason=StopReason.DONE, seen=5, turn=EventId(4)),
        first=4,
    )
    assert [one["turn"] for one in copies_of(events)] == [0, 0]


def test_a_copy_of_a_copy_names_the_first_one() -> None:
    [entry] = copied(SID, [stored(*numbered(MessageAction(content="x"), first=5))])
    [again] = copied(ConversationId("other"), [entry])
    assert decode(again.text).origin == f"{SID}#5"
    assert list(orjson.loads(again.text))[-1] == "origin"
