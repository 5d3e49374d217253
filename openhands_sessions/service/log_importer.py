"""Turns the events of another installation into a log of ours: dense ids, and an end with nothing left to do. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Any

from openhands_sessions.core.events.actions import CondensationAction
from openhands_sessions.core.events.codec import Stored, masked, recorded
from openhands_sessions.core.events.event import Action, AgentState, ConfirmationState, Event, Source, Unknown
from openhands_sessions.core.events.observations import (
    UNKNOWN_OUTCOME_ID,
    AgentStateChangedObservation,
    ErrorObservation,
)
from openhands_sessions.core.events.own import HistoryMovedObservation, StopReason, TurnEndedObservation
from openhands_sessions.core.foreign_events import EventNumbering, event_of
from openhands_sessions.core.ids import UNNUMBERED, EventId
from openhands_sessions.core.masking import SecretMasker
from openhands_sessions.core.view import ConversationView, reduce
from openhands_sessions.session.approvals import Question, withdrawing

KNOWN_FORMS = SecretMasker()
"""The values of the other installation's secrets are not known."""
NOT_RECORDED = "The outcome is unknown: it was not recorded where this conversation was imported from."
_AT_REST = frozenset(
    (
        AgentState.AWAITING_USER_INPUT,
        AgentState.PAUSED,
        AgentState.STOPPED,
        AgentState.FINISHED,
        AgentState.REJECTED,
        AgentState.ERROR,
        AgentState.RATE_LIMITED,
    )
)


class LogImporter:
    """Goes through a log once, from where an earlier import ended."""

    def __init__(self, numbering: EventNumbering, zone: tzinfo | None, begun: datetime) -> None:
        """`begun` is when the conversation was made."""
        self.view = ConversationView()
        self.numbering = numbering
        self.unknown = 0
        """How many events were of an unknown kind and kept as they are."""
        self._zone = zone
        self._newest = begun
        """The newest time so far."""
        self._open: dict[EventId, Action] = {}

    def fold(self, event: Event) -> None:
        """Take in the next event of ours: one that an earlier import stored, or a new one."""
        self.view = reduce(self.view, event)
        self._newest = max(self._newest, event.timestamp)
        asked = () if self.view.approval is None else self.view.approval.calls
        waiting = {*self.view.open_actions, *(number for one in asked for number in (one.event, one.shown))}
        if isinstance(event, Action) and event.id in waiting:
            self._open[event.id] = event
        if len(self._open) > len(waiting):
            self._open = {number: action for number, action in self._open.items() if number in waiting}

    def take_over(self, view: ConversationView, waiting: Mapping[EventId, Action], newest: datetime) -> None:
        """Go on after a log that was folded elsewhere: `waiting` are the actions that it leaves open or asks about,
        `newest` is when its last event was recorded."""
        self.view, self._open, self._newest = view, dict(waiting), newest

    def convert(self, number: int, wire: Mapping[str, Any]) -> Stored:
        """Their event as ours, the next one."""
        ours = self._next
        self.numbering.add(number, ours)
        event = self._joined(event_of(wire, ours, self.numbering, self._zone, self._newest))
        self.unknown += isinstance(event, Unknown)
        return self._recorded(event)

    def settled(self) -> Sequence[Stored]:
        """Events that end the log so that opening it starts nothing: no question, action or turn is left open."""
        view = self.view
        made: list[Stored] = []
        asked = () if view.approval is None else view.approval.calls
        left = [Question(one, self._open[one.event if one.shown == UNNUMBERED else one.shown]) for one in asked]
        made += [self._said(event) for event in withdrawing(left, first=self._next)]
        for number in view.open_actions:
            unknown = ErrorObservation(content=NOT_RECORDED, error_id=UNKNOWN_OUTCOME_ID, cause=number)
            call = self._open[number].tool_call_metadata
            made.append(self._said(replace(unknown, source=Source.AGENT, tool_call_metadata=call)))
        if view.owed or view.stopping is not None or made:
            made.append(self._said(TurnEndedObservation(stop_reason=StopReason.STOPPED, seen=self.view.head)))
        if made and view.agent_state not in _AT_REST:
            made.append(self._said(AgentStateChangedObservation(agent_state=AgentState.STOPPED)))
        return made

    @property
    def _next(self) -> EventId:
        return EventId(self.view.head + 1)

    def _said(self, event: Event) -> Stored:
        return self._recorded(replace(event, id=self._next, timestamp=self._newest))

    def _recorded(self, event: Event) -> Stored:
        event, entry = masked(*recorded(event), KNOWN_FORMS)
        self.fold(event)
        return entry

    def _joined(self, event: Event) -> Event:
        """The event with what the other installation expresses by order alone: the question that an answer belongs to,
        and what an earlier condensation has forgotten."""
        match event:
            case CondensationAction(forgotten_events_start_id=int() as start) if self.view.condensed is not None:
                return replace(event, forgotten_events_start_id=min(start, self.view.condensed[0]))
            case Action() if self._answers(event):
                return replace(event, cause=self.view.pending)
            case HistoryMovedObservation():
                return replace(event, to=UNNUMBERED)  # theirs would be of our numbers
            case _:
                return event

    def _answers(self, event: Action) -> bool:
        if self.view.pending is None or event.tool_call_metadata is None:
            return False
        asked = self._open[self.view.pending].tool_call_metadata
        state = getattr(event, "confirmation_state", None)
        answered = state in (ConfirmationState.CONFIRMED, ConfirmationState.REJECTED)
        return answered and asked is not None and asked.tool_call_id == event.tool_call_metadata.tool_call_id
