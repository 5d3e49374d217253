"""Calls that await the user's answer, and what an answer appends. Pure: the session stores the events."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from openhands_sessions.core.approval import AskedCall
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.actions import UNKNOWN_RISK, ChangeAgentStateAction, MessageAction
from openhands_sessions.core.events.budget import SpendingPausedAction
from openhands_sessions.core.events.event import Action, AgentState, ConfirmationState, Event, Observation, Source
from openhands_sessions.core.events.observations import (
    NOT_RUN_ID,
    AgentStateChangedObservation,
    ErrorObservation,
    UserRejectedObservation,
)
from openhands_sessions.core.events.own import ApprovalRequestedAction, CallDecision, StopReason, TurnEndedObservation
from openhands_sessions.core.ids import UNNUMBERED, EventId

REFUSED = "The action was rejected by the user; it was not run."
FEEDBACK = "The user says: "
TOO_LATE = "The action was not run: the time for the user's answer ran out."
TURNED_AWAY = "Not run: the turn was stopped while the action awaited the user's answer."
TURN_OVER = "Not run: the turn ended before the action, which the user had approved, was begun."


@dataclass(frozen=True, slots=True)
class Question:
    """A call that was asked about: the action that shows it, or else the event that asks, and what is decided."""

    asked: AskedCall
    action: Action
    decision: CallDecision | None = None
    expired: bool = False

    @property
    def shown(self) -> bool:
        """Whether V0 clients were asked."""
        return self.asked.shown != UNNUMBERED


def asking(
    actions: Sequence[Action], *, seen: int, iterations: int, deadline: datetime | None = None
) -> Sequence[Event]:
    """The one append that asks about a batch: the state, the first action as awaiting, the other calls, and the end of
    the turn."""
    first, *others = actions
    return (
        AgentStateChangedObservation(agent_state=AgentState.AWAITING_USER_CONFIRMATION),
        _with_state(first, ConfirmationState.AWAITING),
        *(
            ApprovalRequestedAction(
                source=Source.AGENT,
                tool_call_metadata=action.tool_call_metadata,
                llm_metrics=action.llm_metrics,
                security_risk=getattr(action, "security_risk", UNKNOWN_RISK),
            )
            for action in others
        ),
        TurnEndedObservation(stop_reason=StopReason.APPROVAL, seen=seen, iterations=iterations, deadline=deadline),
    )


def asking_to_spend(
    question: SpendingPausedAction, *, first: EventId, seen: int, iterations: int, deadline: datetime | None
) -> Sequence[Event]:
    """The one append that asks whether to go on. The message is for V0 clients, which show their buttons below it.
    `first` is the id that the first of these events will have."""
    return (
        AgentStateChangedObservation(agent_state=AgentState.AWAITING_USER_CONFIRMATION),
        question,
        MessageAction(source=Source.AGENT, content=question.describe(), cause=EventId(first + 1)),
        TurnEndedObservation(stop_reason=StopReason.APPROVAL, seen=seen, iterations=iterations, deadline=deadline),
    )


def answer_until(now: datetime, seconds: float) -> datetime | None:
    """When a question that is asked now is overdue; None where `seconds` are 0, for never."""
    return now + timedelta(seconds=seconds) if seconds else None


def asking_next(action: Action, requested: EventId, *, seen: int, deadline: datetime | None) -> Sequence[Event]:
    """What asks V0 clients about the next call of a batch, which the event `requested` asked about."""
    return (
        AgentStateChangedObservation(agent_state=AgentState.AWAITING_USER_CONFIRMATION),
        replace(_with_state(action, ConfirmationState.AWAITING), cause=requested, llm_metrics=None),
        TurnEndedObservation(stop_reason=StopReason.APPROVAL, seen=seen, deadline=deadline),
    )


def confirming(pending: Action, edited: Action | None = None) -> Sequence[Event]:
    """The answer yes: the user's echo, the action restated as confirmed, or as the user has `edited` it, the state."""
    return (
        echo(approved=True),
        confirmed(pending, edited),
        AgentStateChangedObservation(agent_state=AgentState.USER_CONFIRMED),
    )


def confirmed(pending: Action, edited: Action | None = None) -> Action:
    """The action restated as confirmed, or as the user has `edited` it."""
    return _restated(pending if edited is None else replace(edited, id=pending.id), ConfirmationState.CONFIRMED)


def rejecting(questions: Sequence[Question], *, first: EventId, seen: int, by_user: bool = True) -> Sequence[Event]:
    """The answer no to all of them, with what the user says to the agent; without the user's echo where the time ran
    out. `first` is the id that the first of these events will have."""
    begin = [echo(approved=False)] if by_user else []
    actions, results = _rejected(questions, EventId(first + len(begin)))
    return (
        *begin,
        *actions,
        AgentStateChangedObservation(agent_state=AgentState.USER_REJECTED),
        *results,
        TurnEndedObservation(stop_reason=StopReason.WAITING, seen=seen),
        AgentStateChangedObservation(agent_state=AgentState.AWAITING_USER_INPUT),
    )


def withdrawing(questions: Sequence[Question], *, first: EventId) -> Sequence[Event]:
    """The questions are taken back by a stop, or by the end of the turn; each call has its result then. `first` is the
    id that the first of these events will have."""
    events: list[Event] = []
    for question in questions:
        actions, results = _rejected([question], EventId(first + len(events)))
        events += (*actions, *results)
    return events


def result_of(question: Question, cause: EventId) -> Observation:
    """The result of a call that does not run. `cause` is the event that it answers."""
    about: dict[str, Any] = {
        "cause": cause,
        "source": Source.AGENT,
        "tool_call_metadata": question.action.tool_call_metadata,
    }
    match question.decision:
        case CallDecision(approved=False, feedback=feedback):
            told = TOO_LATE if question.expired else REFUSED
            return UserRejectedObservation(content=f"{told}\n{FEEDBACK}{feedback}" if feedback else told, **about)
        case CallDecision():
            return ErrorObservation(content=TURN_OVER, error_id=NOT_RUN_ID, **about)
        case None:
            return ErrorObservation(content=TURNED_AWAY, error_id=NOT_RUN_ID, **about)


def edited(pending: Action, arguments: str, read: Callable[[str, str], Action]) -> Action:
    """A pending action with other arguments for its call, which `read` makes an action of. Raises BadInput that names
    what is wrong in them."""
    call = pending.tool_call_metadata
    if call is None:
        raise BadInput("arguments", "cannot be given: this action has none")
    action = read(call.function_name, arguments)
    if type(action) is not type(pending):
        raise BadInput("arguments", "must ask for the same kind of action")
    about: dict[str, Any] = {"source": Source.AGENT, "tool_call_metadata": replace(call, arguments=arguments)}
    return replace(action, **about)


def requested(question: Action, read: Callable[[str, str], Action]) -> Action:
    """The action that a call asks for; `question` is it, or the event that asks about it. Raises BadInput where the
    call cannot be carried out."""
    call = question.tool_call_metadata
    if not isinstance(question, ApprovalRequestedAction) or call is None:
        return question
    action = read(call.function_name, call.arguments)
    return replace(action, id=question.id, source=Source.AGENT, tool_call_metadata=call)


def echo(*, approved: bool) -> Event:
    """The user's answer, as V0 clients see it."""
    state = AgentState.USER_CONFIRMED if approved else AgentState.USER_REJECTED
    return ChangeAgentStateAction(agent_state=state, source=Source.USER)


def _rejected(questions: Sequence[Question], first: EventId) -> tuple[Sequence[Action], Sequence[Observation]]:
    """The shown actions restated as rejected, and the result of each call."""
    actions: list[Action] = []
    results: list[Observation] = []
    for question in questions:
        cause = question.asked.event
        if question.shown:
            cause = EventId(first + len(actions))
            actions.append(_restated(question.action, ConfirmationState.REJECTED))
        if not isinstance(question.action, SpendingPausedAction):  # that is no call
            results.append(result_of(question, cause))
    return actions, results


def _restated(pending: Action, state: ConfirmationState) -> Action:
    """The same call under a new id, naming the original; its thought was shown and is not said again."""
    again: dict[str, Any] = {"message": None, "cause": pending.id, "llm_metrics": None}
    if hasattr(pending, "thought"):
        again["thought"] = ""
    return replace(_with_state(pending, state), **again)


def _with_state(action: Action, state: ConfirmationState) -> Action:
    changed: dict[str, Any] = {"confirmation_state": state}
    return replace(action, **changed)
