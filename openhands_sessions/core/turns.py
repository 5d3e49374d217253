"""Which turn each event belongs to, in the order in which events are appended. Pure."""

from typing import Any, NamedTuple

from openhands_sessions.core.events.actions import ChangeAgentStateAction, MessageAction
from openhands_sessions.core.events.event import AgentState, Event, Source
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
    """The turn that the next event belongs to, None between turns; and the user's messages in it."""

    id: EventId | None = None
    messages: _Messages | None = None

    @classmethod
    def of(cls, view: ConversationView) -> "OpenTurn":
        """The turn that a log of this view leaves open."""
        if not view.owed and view.pending is None:
            return cls()
        return cls(view.turn, None if view.last_message == UNNUMBERED else _Messages(view.last_message))

    def take(self, event: Event, number: EventId) -> tuple[dict[str, Any], "OpenTurn"]:
        """The fields that tell the turn of an event with this id, and the turn that is open after it."""
        match event:
            case MessageAction(source=Source.USER):
                turn = event.turn or self.id or number
                return {"turn": turn}, OpenTurn(turn, _Messages(number, self.messages))
            case ChangeAgentStateAction(source=Source.USER, agent_state=AgentState.RUNNING, turn=None):
                turn = self.id or number
                return {"turn": turn}, OpenTurn(turn, self.messages)
            case ChangeAgentStateAction(turn=int()):
                return {}, self
            case MessageQueuedAction():
                return {"turn": number}, self
            case QueuedMessageEditedAction(queued=queued):
                return {"turn": queued}, self
            case QueuedMessagesDroppedAction():
                return {}, self
            case TurnEndedObservation(stop_reason=reason) if reason is not StopReason.APPROVAL:
                return self._over(event.seen)
            case _:
                return {"turn": self.id}, self

    def _over(self, seen: int) -> tuple[dict[str, Any], "OpenTurn"]:
        """What `take` gives for the end of a turn that has seen the messages up to this one."""
        unseen, said = [], self.messages
        while said is not None and said.newest > seen:
            unseen.append(said.newest)
            said = said.before
        if not unseen:
            return {"turn": self.id}, OpenTurn()
        left = None
        for message in reversed(unseen):
            left = _Messages(message, left)
        return {"turn": self.id, "moved_to": unseen[-1]}, OpenTurn(unseen[-1], left)
