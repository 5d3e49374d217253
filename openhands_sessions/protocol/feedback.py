"""What a person thinks of a conversation, as a client sends it."""

from typing import Literal

from pydantic import Field

from openhands_sessions.core.commands import LONGEST_COMMENT, GiveFeedback
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.events.own import FeedbackKind
from openhands_sessions.core.ids import EventId
from openhands_sessions.protocol.approvals import EventNumber
from openhands_sessions.protocol.history import Key
from openhands_sessions.protocol.payloads import Message


class FeedbackArgs(Message):
    """`about` is the event that it is about; without one it is about the conversation so far."""

    feedback: FeedbackKind
    about: EventNumber | None = None
    comment: str = Field("", max_length=LONGEST_COMMENT)

    def command(self) -> GiveFeedback:
        about = None if self.about is None else EventId(self.about)
        return GiveFeedback(feedback=self.feedback, about=about, comment=self.comment)


class GiveFeedbackIn(Message):
    """A `give_feedback` from a client. It is stored as an event; the agent is not told."""

    action: Literal["give_feedback"]
    args: FeedbackArgs
    key: Key | None = None


def feedback_wire(command: GiveFeedback) -> dict[str, Json]:
    """Its `args`, as a client sends them."""
    return {"feedback": str(command.feedback), "about": command.about, "comment": command.comment}
