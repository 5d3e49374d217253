"""Which turn each event belongs to, in the order in which events are appended. Pure."""

from typing import Any, NamedTuple

from openhands_sessions.core.events.actions import ChangeAgentStateAction, MessageAction
from openhands_sessions.core.events.event import AgentState, Event, Source
from openhands_sessions.core.events.handoff import HandedOverObservation
from openhands_sessions.core.events.own import (
    MessageQueuedAction,
    QueuedMessageEditedAction,
    QueuedMessagesDroppedAction,
    StopReason,
    TurnEndedObservation,
)
from openhands_sessions.core.ids import UNNUMBERED, EventId
from openhands_sessions.core.view import ConversationView


class _Messages(NamedTuple):
    """The newest message, and those before it."""

    newest: EventId
    before: "_Messages | None" = None


class OpenTurn(NamedTuple):
    """The turn that the next event belongs to, None between turns; the user's messages in it; and, of several agents,
    whose turn it is. `default` is the agent of turns for which none is named."""

    id: EventId | None = None
    messages: _Messages | None = None
    agent: str | None = None
    default: str | None = None

    @classmethod
    def of(cls, view: ConversationView, default: str | None = None) -> "OpenTurn":
        """The turn that a log of this view leaves open."""
        if not view.owed and view.pending is None:
            return cls(default=default)
        messages = None if view.last_message == UNNUMBERED else _Messages(view.last_message)
        return cls(view.turn, messages, view.agent_name or default, default)

    def take(self, event: Event, number: EventId) -> tuple[dict[str, Any], "OpenTurn"]:
        """The fields that tell the turn of an event with this id, and the turn that is open after it."""
        match event:
            case MessageAction(source=Source.USER):
                turn = event.turn or self.id or number
                opened = self._opened(turn, event, _Messages(number, self.messages))
                return opened._told, opened
            case ChangeAgentStateAction(source=Source.USER, agent_state=AgentState.RUNNING, turn=None):
                opened = self._opened(self.id or number, event, self.messages)
                return opened._told, opened
            case ChangeAgentStateAction(turn=int()):
                return {}, self
            case MessageQueuedAction():
                return {"turn": number}, self
            case QueuedMessageEditedAction(queued=queued):
                return {"turn": queued}, self
            case QueuedMessagesDroppedAction():
                return {}, self
            case HandedOverObservation(agent=agent):
                return self._told, OpenTurn(self.id, self.messages, agent, self.default)
            case TurnEndedObservation(stop_reason=reason) if reason is not StopReason.APPROVAL:
                return self._over(event.seen)
            case _:
                return self._told, self

    @property
    def _told(self) -> dict[str, Any]:
        """The fields of an event in the turn."""
        return (
            {"turn": self.id} if self.id is None or self.agent is None else {"turn": self.id, "agent_name": self.agent}
        )

    def _opened(self, turn: EventId, event: Event, messages: _Messages | None) -> "OpenTurn":
        """The open turn, or the one that the event opens, for the agent that it names."""
        agent = self.agent if self.id is not None else event.agent_name or self.default
        return OpenTurn(turn, messages, agent, self.default)

    def _over(self, seen: int) -> tuple[dict[str, Any], "OpenTurn"]:
        """What `take` gives for the end of a turn that has seen the messages up to this one."""
        unseen, said = [], self.messages
        while said is not None and said.newest > seen:
            unseen.append(said.newest)
            said = said.before
        if not unseen:
            return self._told, OpenTurn(default=self.default)
        left = None
        for message in reversed(unseen):
            left = _Messages(message, left)
        following = OpenTurn(unseen[-1], left, self.agent, self.default)
        return {**self._told, "moved_to": unseen[-1]}, following
