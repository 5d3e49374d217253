"""The queue of messages that wait for turns of their own, as the log leaves it. Pure."""

from dataclasses import dataclass

from openhands_sessions.core.events.event import Event
from openhands_sessions.core.events.own import (
    MessageQueuedAction,
    QueuedMessageEditedAction,
    QueuedMessagesDroppedAction,
)
from openhands_sessions.core.evolve import evolve
from openhands_sessions.core.ids import EventId, OwnerId


@dataclass(frozen=True, kw_only=True, slots=True)
class QueuedMessage:
    """A message that waits: its event, and the one that says what it says now."""

    id: EventId
    text: EventId
    author: OwnerId | None


QUEUE_CHANGES = (MessageQueuedAction, QueuedMessageEditedAction, QueuedMessagesDroppedAction)


def queue_after(queued: tuple[QueuedMessage, ...], event: Event) -> tuple[QueuedMessage, ...]:
    """The queue after one more event. A message's turn begins with the message that has its id as `turn`."""
    match event:
        case MessageQueuedAction():
            return (*queued, QueuedMessage(id=event.id, text=event.id, author=event.author))
        case QueuedMessageEditedAction(queued=edited):
            return tuple(evolve(one, text=event.id) if one.id == edited else one for one in queued)
        case QueuedMessagesDroppedAction(queued=dropped):
            return tuple(one for one in queued if one.id not in dropped)
        case _:
            return tuple(one for one in queued if one.id != event.turn)
