"""The list of a caller's conversations over the socket, and read marks over the socket and REST."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.conversations import ListChange, ListItem, ListSnapshot
from openhands_sessions.protocol.approvals import EventNumber
from openhands_sessions.protocol.conversations import ConversationOut
from openhands_sessions.protocol.payloads import Message, Payload, Reply


class ReadIn(Payload):
    """Body of `POST /api/conversations/{id}/read`: the caller has read up to and with event `event_id`."""

    event_id: EventNumber


class ReadOut(Reply):
    """The caller's read mark as it is now: the old one where that was higher."""

    event_id: int


class MarkReadIn(ReadIn):
    """The caller has read a conversation up to and with event `event_id`. `conversation_id` names it; the connection's
    own where it is left out. The acknowledgement has the mark as it is now, in `event_id`."""

    conversation_id: Annotated[str, Field(max_length=64)] | None = None


class RenewListIn(Payload):
    """A snapshot of the list is to come next, such as after a gap in its numbers."""


class ListOut(Message):
    """The caller's newest conversations, at most 200, as `GET /api/conversations` lists them. Where there are `more`,
    `next_page_id` is the `page_id` of the rest there. It takes the place of all that came before."""

    number: int
    conversations: Sequence[ConversationOut]
    more: bool
    next_page_id: str | None

    def snapshot(self) -> ListSnapshot:
        """Raises ValueError for a state or a time that is not known."""
        return ListSnapshot(self.number, [each.info() for each in self.conversations], self.next_page_id)


class ListChangeOut(Message):
    """One conversation of the list has come, shows something else, or, with `removed`, is gone: `conversation` is its
    row as it is now. `number` is one higher than that of the message before, of a `list` or a `list_change`: after any
    other number, ask for the list anew."""

    number: int
    conversation_id: str
    removed: bool
    conversation: ConversationOut | None

    def change(self) -> ListChange:
        """Raises ValueError for a state or a time that is not known."""
        info = None if self.conversation is None else self.conversation.info()
        return ListChange(self.number, ConversationId(self.conversation_id), info)


def list_message(item: ListItem) -> ListOut | ListChangeOut:
    """How an item of a followed list is sent."""
    if isinstance(item, ListSnapshot):
        rows = [ConversationOut.of(info) for info in item.conversations]
        more = item.next_page is not None
        return ListOut(number=item.number, conversations=rows, more=more, next_page_id=item.next_page)
    info = item.conversation
    row = None if info is None else ConversationOut.of(info)
    return ListChangeOut(number=item.number, conversation_id=item.id, removed=info is None, conversation=row)
