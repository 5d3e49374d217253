"""What a question and its answers append, each in one go."""

from dataclasses import replace

import pytest

from openhands_sessions.core.approval import AskedCall
from openhands_sessions.core.events.actions import EditAction, McpAction, RunAction
from openhands_sessions.core.events.event import Action, ConfirmationState, Event, Source, ToolCall
from openhands_sessions.core.events.observations import ErrorObservation, UserRejectedObservation
from openhands_sessions.core.events.own import CallDecision
from openhands_sessions.core.ids import EventId
from openhands_sessions.session.approvals import Question, asking, confirming, rejecting, withdrawing

CALL = ToolCall(function_name="f", tool_call_id="c1", model_response={"id": "r1"}, arguments='{"a": 1}')
METRICS = {"accumulated_cost": 1.0}
ASKED: list[Action] = [
    RunAction(command="ls", thought="hm", tool_call_metadata=CALL, llm_metrics=METRICS),
    EditAction(path="a", command="create", file_text="x", thought="hm", tool_call_metadata=CALL),
    McpAction(name="f", arguments={"a": 1}, tool_call_metadata=CALL),
]


def actions(events: object) -> list[Action]:
    return [event for event in events if isinstance(event, Action) and event.tool_call_metadata is not None]  # type: ignore[attr-defined]


@pytest.mark.parametrize("action", ASKED, ids=lambda action: action.KIND)
def test_a_question_is_the_action_itself_not_yet_agreed_to(action: Action) -> None:
    [asked] = actions(asking([action], seen=3, iterations=1))
    assert asked.confirmation_state is ConfirmationState.AWAITING  # type: ignore[attr-defined]
    assert (asked.thought, asked.llm_metrics) == (action.thought, action.llm_metrics)  # type: ignore[attr-defined]


@pytest.mark.parametrize("action", ASKED, ids=lambda action: action.KIND)
@pytest.mark.parametrize("answer", ["yes", "no", "stop"])
def test_an_answer_restates_the_same_call_and_names_the_original(action: Action, answer: str) -> None:
    [_, asked, _] = asking([action], seen=3, iterations=1)
    assert isinstance(asked, Action)
    pending = numbered(asked, 7)
    events = {
        "yes": confirming(pending),
        "no": rejecting([refused(pending)], first=EventId(9), seen=8),
        "stop": withdrawing([open_one(pending)], first=EventId(9)),
    }[answer]
    [again] = actions(events)
    state = ConfirmationState.CONFIRMED if answer == "yes" else ConfirmationState.REJECTED
    assert again.confirmation_state is state  # type: ignore[attr-defined]
    assert (again.cause, again.tool_call_metadata) == (7, CALL)
    assert (again.thought, again.llm_metrics, again.source) == ("", None, pending.source)  # type: ignore[attr-defined]


def test_only_the_users_answers_are_echoed_as_the_users() -> None:
    pending = numbered(ASKED[0], 7)
    assert confirming(pending)[0].source is Source.USER
    assert rejecting([refused(pending)], first=EventId(9), seen=8)[0].source is Source.USER
    assert all(event.source is not Source.USER for event in withdrawing([open_one(pending)], first=EventId(9)))


def test_what_came_of_it_names_the_restated_action() -> None:
    pending = numbered(ASKED[0], 7)
    [rejected] = [
        e for e in rejecting([refused(pending)], first=EventId(9), seen=8) if isinstance(e, UserRejectedObservation)
    ]
    [turned] = [e for e in withdrawing([open_one(pending)], first=EventId(9)) if isinstance(e, ErrorObservation)]
    assert (rejected.cause, turned.cause) == (10, 9)
    assert rejected.tool_call_metadata == turned.tool_call_metadata == CALL


def open_one(pending: Action, decision: CallDecision | None = None) -> Question:
    return Question(AskedCall(event=pending.id, call="c1", shown=pending.id), pending, decision)


def refused(pending: Action) -> Question:
    return open_one(pending, CallDecision(call=pending.id, approved=False))


def numbered(action: Event, number: int) -> Action:
    assert isinstance(action, Action)
    return replace(action, id=EventId(number))
