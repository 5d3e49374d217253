"""Which turn each event belongs to, in the order in which events are appended. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True, slots=True)
class OpenTurn:
    """The turn that the next event belongs to, None between turns; and the user's messages in it, oldest first."""

    id: EventId | None = None
    messages: tuple[EventId, ...] = ()

    @classmethod
    def of(cls, view: ConversationView) -> "OpenTurn":
        """The turn that a log of this view leaves open."""
        if not view.owed and view.pending is None:
            return cls()
        return cls(view.turn, () if view.last_message == UNNUMBERED else (view.last_message,))

    def take(self, event: Event, number: EventId) -> tuple[Mapping[str, Any], "OpenTurn"]:
        """The fields that tell the turn of an event with this id, and the turn that is open after it."""
        match event:
            case MessageAction(source=Source.USER):
                turn = event.turn or self.id or number
                return {"turn": turn}, OpenTurn(turn, (*self.messages, number))
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
                unseen = tuple(message for message in self.messages if message > event.seen)
                if not unseen:
                    return {"turn": self.id}, OpenTurn()
                return {"turn": self.id, "moved_to": unseen[0]}, OpenTurn(unseen[0], unseen)
            case _:
                return {"turn": self.id}, self
