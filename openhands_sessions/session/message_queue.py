"""Messages that wait for turns of their own: queued, changed, dropped, and begun. The log holds them."""

from collections.abc import Sequence

from openhands_sessions.core.commands import EditQueued, RemoveQueued, SendMessage
from openhands_sessions.core.errors import BadInput, NotAccepting, NotFound
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.event import Event, Source
from openhands_sessions.core.events.own import (
    DropReason,
    MessageQueuedAction,
    QueuedMessageEditedAction,
    QueuedMessagesDroppedAction,
)
from openhands_sessions.core.ids import EventId
from openhands_sessions.session.event_stream import EventStream
from openhands_sessions.session.knowledge_recall import KnowledgeRecall

MOST_QUEUED = 100
BEGUN = "waits no more: its turn has begun, or it was removed"


def dropping(queued: Sequence[EventId], reason: DropReason) -> Event:
    """What says that queued messages become no turns."""
    return QueuedMessagesDroppedAction(source=Source.USER, queued=tuple(queued), reason=reason)


class MessageQueue:
    """The queue of one session's conversation."""

    def __init__(self, stream: EventStream, knowledge: KnowledgeRecall) -> None:
        self._stream = stream
        self._knowledge = knowledge

    def takes(self, command: SendMessage) -> bool:
        """Whether a message is to wait: one that is sent to be queued, while there is something to wait for."""
        view = self._stream.view
        return command.mode == "queue" and (view.processing or bool(view.queued))

    def queued(self, command: SendMessage, key: str | None) -> Sequence[Event]:
        """What puts a message at the end of the queue. Raises NotAccepting where that is full."""
        if len(self._stream.view.queued) >= MOST_QUEUED:
            raise NotAccepting(
                f"{MOST_QUEUED} messages wait in the queue, as many as may: remove one, or wait until one has begun"
            )
        return (
            MessageQueuedAction(
                source=Source.USER,
                content=command.content,
                image_urls=command.image_urls,
                file_urls=command.file_urls,
                key=key,
                agent_name=command.agent,
            ),
        )

    async def changed(self, command: EditQueued | RemoveQueued) -> Sequence[Event]:
        """What changes a queued message, or takes it out of the queue. Raises NotAccepting, BadInput where none waits
        under this id."""
        await self._check(command.queued)
        if isinstance(command, RemoveQueued):
            return (dropping((command.queued,), DropReason.REMOVED),)
        return (
            QueuedMessageEditedAction(
                source=Source.USER,
                queued=command.queued,
                content=command.content,
                image_urls=command.image_urls,
                file_urls=command.file_urls,
            ),
        )

    def waits(self, turn: EventId) -> bool:
        """Whether this turn is that of a queued message."""
        return any(one.id == turn for one in self._stream.view.queued)

    async def begin(self) -> None:
        """Have the next message open its turn: durable when it returns."""
        view = self._stream.view
        waiting = view.next_queued
        if waiting is None:
            return
        queued = await self._stream.event_of(MessageQueuedAction, waiting.id)
        text: MessageQueuedAction | QueuedMessageEditedAction = queued
        if waiting.text != waiting.id:
            text = await self._stream.event_of(QueuedMessageEditedAction, waiting.text)
        said = MessageAction(
            source=Source.USER,
            content=text.content,
            image_urls=text.image_urls,
            file_urls=text.file_urls,
            key=queued.key,
            author=waiting.author,
            turn=waiting.id,
            agent_name=queued.agent_name,
        )
        first = EventId(self._stream.next_id + 1)
        await self._stream.append(said, *self._knowledge.taking_up(text.content, first, whole=not view.recalled))

    async def _check(self, queued: EventId) -> None:
        if self.waits(queued):
            return
        try:
            known = isinstance(await self._stream.event(queued), MessageQueuedAction)
        except NotFound:
            known = False
        if known:
            raise NotAccepting(f"message {queued} {BEGUN}")
        raise BadInput("id", f"names no queued message: event {queued} is none")
