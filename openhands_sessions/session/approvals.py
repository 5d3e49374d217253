"""Actions that await the user's answer, and what an answer appends. Pure: the session stores the events."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from openhands_sessions.core.events.actions import ChangeAgentStateAction
from openhands_sessions.core.events.event import Action, AgentState, ConfirmationState, Event, Source
from openhands_sessions.core.events.observations import (
    NOT_RUN_ID,
    AgentStateChangedObservation,
    ErrorObservation,
    UserRejectedObservation,
)
from openhands_sessions.core.events.own import StopReason, TurnEndedObservation
from openhands_sessions.core.ids import EventId

REFUSED = "The action was rejected by the user; it was not run."
TURNED_AWAY = "Not run: the turn was stopped while the action awaited the user's answer."


def asking(action: Action, *, seen: int, iterations: int) -> Sequence[Event]:
    """The one append that asks: the state, the action as awaiting, and the end of the turn."""
    return (
        AgentStateChangedObservation(agent_state=AgentState.AWAITING_USER_CONFIRMATION),
        _with_state(action, ConfirmationState.AWAITING),
        TurnEndedObservation(stop_reason=StopReason.WAITING, seen=seen, iterations=iterations),
    )


def confirming(pending: Action) -> Sequence[Event]:
    """The answer yes: the user's echo, the action restated as confirmed, the state."""
    return (
        _echo(AgentState.USER_CONFIRMED),
        _restated(pending, ConfirmationState.CONFIRMED),
        AgentStateChangedObservation(agent_state=AgentState.USER_CONFIRMED),
    )


def rejecting(pending: Action, *, first: EventId, seen: int) -> Sequence[Event]:
    """The answer no. `first` is the id that the first of these events will have."""
    restated = EventId(first + 1)
    return (
        _echo(AgentState.USER_REJECTED),
        _restated(pending, ConfirmationState.REJECTED),
        AgentStateChangedObservation(agent_state=AgentState.USER_REJECTED),
        UserRejectedObservation(
            content=REFUSED, cause=restated, source=Source.AGENT, tool_call_metadata=pending.tool_call_metadata
        ),
        TurnEndedObservation(stop_reason=StopReason.WAITING, seen=seen),
        AgentStateChangedObservation(agent_state=AgentState.AWAITING_USER_INPUT),
    )


def withdrawing(pending: Action, *, first: EventId) -> Sequence[Event]:
    """The question is taken back by a stop. `first` is the id that the first of these events will have."""
    return (
        _restated(pending, ConfirmationState.REJECTED),
        ErrorObservation(
            content=TURNED_AWAY,
            error_id=NOT_RUN_ID,
            cause=first,
            source=Source.AGENT,
            tool_call_metadata=pending.tool_call_metadata,
        ),
    )


def _echo(state: AgentState) -> Event:
    return ChangeAgentStateAction(agent_state=state, source=Source.USER)


def _restated(pending: Action, state: ConfirmationState) -> Action:
    """The same call under a new id, naming the original; its thought was shown and is not said again."""
    again: dict[str, Any] = {"message": None, "cause": pending.id, "llm_metrics": None}
    if hasattr(pending, "thought"):
        again["thought"] = ""
    return replace(_with_state(pending, state), **again)


def _with_state(action: Action, state: ConfirmationState) -> Action:
    changed: dict[str, Any] = {"confirmation_state": state}
    return replace(action, **changed)
