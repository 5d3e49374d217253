"""The present, folded from the log."""

from dataclasses import fields, replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openhands_sessions.core.events.actions import (
    ChangeAgentStateAction,
    CondensationAction,
    MessageAction,
    RunAction,
    SystemAction,
    TaskItem,
    TaskTrackingAction,
)
from openhands_sessions.core.events.codec import SCHEMA, Stored, decode, encode, stored
from openhands_sessions.core.events.event import Action, AgentState, Event, Source, Unknown
from openhands_sessions.core.events.observations import LEFT_RUNNING, RunMetadata, RunObservation
from openhands_sessions.core.events.own import ApprovalRequestedAction, StopReason, TurnEndedObservation
from openhands_sessions.core.fold import Fold
from openhands_sessions.core.ids import UNNUMBERED, EventId
from openhands_sessions.core.spending import Spent
from openhands_sessions.core.stored_view import dump_view, load_view
from openhands_sessions.core.view import ConversationView
from tests.support.log_builder import STORIES, built_log
from tests.support.log_pieces import cost, run_result
from tests.support.moved_logs import views_of
from tests.unit.core.strategies import KINDS, any_event, json_objects


@st.composite
def logs(draw: st.DrawFn) -> list[Stored]:
    """A story that breaks off, then events of any kind that may answer it, and some that are of no known form."""
    events = built_log(draw(STORIES)).events
    entries = [stored(event) for event in events[: draw(st.integers(0, len(events)))]]
    for _ in range(draw(st.integers(0, 8))):
        place, cause = EventId(len(entries)), draw(st.none() | st.integers(0, len(entries)).map(EventId))
        if draw(st.booleans()):
            entries.append(stored(replace(draw(any_event()), id=place, cause=cause)))
            continue
        kind = draw(st.sampled_from(KINDS))
        family, body = ("action", "args") if issubclass(kind, Action) else ("observation", "extras")
        wire = {"id": place, "source": "agent", "cause": cause, family: kind.KIND, body: draw(json_objects())}
        entries.append(Stored(place, f"{family}:{kind.KIND}", SCHEMA, orjson.dumps(wire).decode()))
    return entries


def folded(events: list[Event], view: ConversationView | None = None) -> ConversationView:
    return views_of(events, view)[-1]


def view_after(*steps: str) -> ConversationView:
    return folded(built_log(steps).events)


@given(STORIES, st.integers(0, 120))
@settings(max_examples=150, deadline=None)
def test_a_fold_from_a_snapshot_is_the_fold_from_the_beginning(steps: list[str], place: int) -> None:
    events = built_log(steps).events
    snapshot = load_view(dump_view(folded(events[:place])))
    assert snapshot is not None
    assert snapshot == folded(events[:place])
    assert folded(events[place:], snapshot) == folded(events)


@given(logs(), st.data())
@settings(max_examples=200, deadline=None)
def test_the_fold_of_a_long_log_is_the_pure_fold_from_any_snapshot_on(
    entries: list[Stored], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(entries)))
    events = [decode(entry.text, entry.schema) for entry in entries]
    before = folded(events[:cut])
    snapshot = load_view(dump_view(before))
    assert snapshot is not None
    fold, views = Fold(snapshot), views_of(events)
    for place, entry in enumerate(entries[cut:], start=cut):
        if (missing := fold.missing(entry)) is not None:
            fold.know(views[missing + 1])
        fold.add(entry)
        assert fold.view == views[place + 1]
    assert fold.view == folded(events)
    assert snapshot == before


@given(STORIES)
@settings(max_examples=60, deadline=None)
def test_a_live_fold_is_the_fold_of_what_is_stored(steps: list[str]) -> None:
    events = built_log(steps).events
    assert folded([decode(encode(event)) for event in events]) == folded(events)


@given(st.lists(any_event(), max_size=6))
@settings(max_examples=30, deadline=None)
def test_any_log_can_be_folded_and_its_fold_be_stored(found: list[Event]) -> None:
    events: list[Event] = [replace(event, id=EventId(place)) for place, event in enumerate(found)]
    view = folded(events)
    assert view.head == len(events) - 1
    assert load_view(dump_view(view)) == view


@given(STORIES)
@settings(max_examples=150, deadline=None)
def test_a_view_holds_only_what_is_still_to_do(steps: list[str]) -> None:
    book = built_log(steps)
    view = folded(book.events)
    answered = {event.cause for event in book.events}
    assert not answered & set(view.open_actions)
    assert all(isinstance(book.events[one], RunAction) for one in view.open_actions)
    asking = None if view.pending is None else book.events[view.pending]
    shown = getattr(asking, "confirmation_state", None) == "awaiting_confirmation"
    assert asking is None or shown or isinstance(asking, ApprovalRequestedAction)


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "7", '{"head":"x"}', '{"head":1,"open_actions":7}', "\ud800"])
def test_a_snapshot_that_cannot_be_read_is_none(text: str) -> None:
    assert load_view(text) is None


def test_a_view_is_small() -> None:
    assert not {field.name for field in fields(ConversationView)} & {"dialogue", "events", "messages"}
    assert len(dump_view(view_after(*["message", "one call", "observe", "speak"] * 50))) < 1_500


def test_a_new_conversation_owes_nothing() -> None:
    view = view_after()
    assert (view.owed, view.pending, view.open_actions, view.agent_state) == (
        False,
        None,
        (),
        AgentState.AWAITING_USER_INPUT,
    )
    assert view.first_message == UNNUMBERED


def test_a_message_is_owed_an_answer_until_the_turn_ends() -> None:
    assert view_after("message").owed
    assert view_after("message", "one call", "observe").owed
    assert not view_after("message", "one call", "observe", "speak").owed
    assert not view_after("message", "finish").owed


def test_a_message_that_the_agent_has_not_seen_outlives_the_turn() -> None:
    book = built_log(["message", "message"])
    unseen = book.events[-2].id
    [ended] = book.append(TurnEndedObservation(stop_reason=StopReason.WAITING, seen=unseen - 1))
    assert folded(book.events).owed
    book.events[ended.id] = TurnEndedObservation(id=ended.id, stop_reason=StopReason.WAITING, seen=unseen)
    assert not folded(book.events).owed


def test_the_first_and_the_newest_message_of_the_user_are_known() -> None:
    book = built_log(["message", "speak", "message"])
    said = [event.id for event in book.events if isinstance(event, MessageAction) and event.source is Source.USER]
    view = folded(book.events)
    assert (view.first_message, view.last_message) == (said[0], said[1])


def test_an_action_is_open_until_it_is_answered() -> None:
    view = view_after("message", "one call")
    assert len(view.open_actions) == 1
    assert view_after("message", "one call", "observe").open_actions == ()


def test_calls_of_a_reply_are_planned_until_an_action_takes_them_up() -> None:
    assert len(view_after("message", "three calls").planned) == 2
    assert len(view_after("message", "three calls", "observe", "take up").planned) == 1
    assert view_after("message", "three calls", "observe", "take up", "observe", "take up").planned == ()
    assert view_after("message", "three calls", "stop").planned == ()


def test_a_question_holds_the_turn_and_its_plan() -> None:
    view = view_after("message", "three calls", "observe", "ask")
    assert view.pending is not None
    assert (view.owed, view.open_actions, len(view.planned)) == (False, (), 2)  # the call that is asked about too
    assert view.stop_reason is StopReason.WAITING


def test_a_batch_is_open_until_every_call_is_decided_and_gone_when_all_are_taken_up() -> None:
    asked = ["message", "three calls", "observe", "ask about a batch"]
    view = view_after(*asked)
    assert view.approval is not None
    assert (view.approval.version, len(view.approval.open), view.owed) == (1, 2, False)
    view = view_after(*asked, "decide")
    assert view.approval is not None
    assert (view.approval.version, len(view.approval.open), view.owed) == (2, 1, False)
    assert view.pending == view.approval.open[0].event
    view = view_after(*asked, "decide", "decide")
    assert view.approval is not None
    assert (view.approval.version, view.approval.open, view.pending, view.owed) == (3, (), None, True)
    taken_up = [*asked, "decide", "decide", "take up what is decided", "observe", "take up what is decided"]
    assert (view_after(*taken_up).approval, view_after(*taken_up).planned) == (None, ())


def test_a_message_and_a_stop_leave_no_call_of_a_batch_open() -> None:
    for end in ("message", "stop"):
        view = view_after("message", "three calls", "observe", "ask about a batch", "decide", end)
        assert (view.approval, view.pending, view.planned) == (None, None, ())


def test_a_yes_opens_the_restated_action_and_goes_on_with_the_plan() -> None:
    book = built_log(["message", "three calls", "observe", "ask", "confirm"])
    view = folded(book.events)
    asked = next(event for event in book.events if getattr(event, "confirmation_state", "") == "awaiting_confirmation")
    [opened] = view.open_actions
    assert book.events[opened].cause == asked.id != opened
    assert (view.pending, view.owed, len(view.planned)) == (None, True, 1)


def test_a_no_drops_the_plan_and_waits() -> None:
    view = view_after("message", "three calls", "observe", "ask", "reject")
    assert (view.pending, view.owed, view.planned, view.open_actions) == (None, False, (), ())


def test_a_stop_leaves_nothing_to_do() -> None:
    for steps in (["one call"], ["three calls"], ["ask"], []):
        view = view_after("message", *steps, "stop")
        assert (view.owed, view.pending, view.planned, view.open_actions) == (False, None, (), ())
        assert (view.agent_state, view.stop_reason, view.stopping) == (AgentState.STOPPED, StopReason.STOPPED, None)


@pytest.mark.parametrize("asked", [AgentState.STOPPED, AgentState.PAUSED])
@pytest.mark.parametrize("steps", [["message"], ["message", "one call"], ["message", "ask"], ["message", "speak"], []])
def test_a_stop_that_was_asked_for_is_remembered_until_it_has_happened(asked: AgentState, steps: list[str]) -> None:
    book = built_log(steps)
    book.append(ChangeAgentStateAction(source=Source.USER, agent_state=asked))
    assert folded(book.events).stopping is asked
    book.append(TurnEndedObservation(stop_reason=StopReason.STOPPED, seen=len(book.events)))
    assert folded(book.events).stopping is None


def test_a_stop_where_nothing_runs_is_done_already() -> None:
    book = built_log(["message", "stop"])
    book.append(ChangeAgentStateAction(source=Source.USER, agent_state=AgentState.STOPPED))
    assert folded(book.events).stopping is None


def test_only_the_user_directs_the_agent() -> None:
    for source in (Source.ENVIRONMENT, Source.AGENT):
        for state in AgentState:
            action = ChangeAgentStateAction(id=EventId(0), source=source, agent_state=state)
            assert folded([action]) == ConversationView(head=EventId(0))


def test_going_on_after_a_stop_is_owed() -> None:
    book = built_log(["message", "stop"])
    book.append(ChangeAgentStateAction(source=Source.USER, agent_state=AgentState.RUNNING))
    assert folded(book.events).owed


def test_model_calls_are_counted_by_turn_and_costs_over_the_conversation() -> None:
    book = built_log(["message"])
    for dollars in (0.5, 0.75):
        [action] = book.append(RunAction(source=Source.AGENT, command="ls", llm_metrics=cost(dollars, 20)))
        assert isinstance(action, RunAction)
        book.append(run_result(action, "x"))
    book.crash()
    view = folded(book.events)
    assert (view.iterations, view.spent.cost, view.cost_before_turn, view.spent.prompt_tokens) == (3, 750_000, 0, 20)
    book.append(TurnEndedObservation(stop_reason=StopReason.MAX_COST, seen=view.head))
    view = folded(book.events)
    assert (view.iterations, view.spent.cost, view.cost_before_turn) == (0, 750_000, 750_000)


@pytest.mark.parametrize(
    "metrics",
    [
        {},
        {"accumulated_cost": "free", "accumulated_token_usage": []},
        {"accumulated_cost": None, "accumulated_token_usage": {"prompt_tokens": "many", "completion_tokens": [1]}},
        {"accumulated_cost": float("nan"), "accumulated_token_usage": {"prompt_tokens": float("inf")}},
    ],
)
def test_odd_figures_count_as_nothing(metrics: dict[str, Any]) -> None:
    view = folded([RunAction(id=EventId(0), command="ls", llm_metrics=metrics)])
    assert (view.iterations, view.spent) == (1, Spent())


def test_the_summary_in_force_is_the_newest() -> None:
    events: list[Event] = [
        CondensationAction(id=EventId(0), forgotten_events_start_id=3, forgotten_events_end_id=9, summary="a"),
        CondensationAction(id=EventId(1), forgotten_events_start_id=3, forgotten_events_end_id=19, summary="b"),
    ]
    view = folded(events)
    assert (view.condensed, view.summary_event) == ((3, 19), 1)


def test_the_task_list_is_the_last_plan() -> None:
    plan = TaskTrackingAction(id=EventId(0), command="plan", task_list=(TaskItem(id="1", title="a"),))
    look = TaskTrackingAction(id=EventId(1), command="view")
    assert folded([plan, look]).task_list == plan.task_list


def test_the_prompt_is_known_by_its_id_and_what_is_unknown_only_moves_the_head() -> None:
    events: list[Event] = [SystemAction(id=EventId(0), content="p"), Unknown(id=EventId(1))]
    assert folded(events) == ConversationView(system=EventId(0), settled=EventId(0), head=EventId(1))


def test_a_command_that_was_let_go_of_is_known_until_it_ends_or_is_stopped() -> None:
    book = built_log(["message", "one call"])
    [action] = [event for event in book.events if isinstance(event, RunAction)]
    let_go = RunObservation(cause=action.id, command="ls", metadata=RunMetadata(suffix=LEFT_RUNNING))
    book.append(let_go)
    assert folded(book.events).sandbox.left_running == action.id
    ended = TurnEndedObservation(stop_reason=StopReason.WAITING, seen=action.id)
    assert folded([*book.events, ended]).sandbox.left_running == action.id
    stopped = TurnEndedObservation(stop_reason=StopReason.STOPPED, seen=action.id)
    assert folded([*book.events, stopped]).sandbox.left_running is None
    book.append(RunObservation(cause=action.id, command="ls", metadata=RunMetadata(exit_code=0)))
    assert folded(book.events).sandbox.left_running is None
