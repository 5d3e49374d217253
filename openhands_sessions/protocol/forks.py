"""Bodies and replies of the routes that fork a conversation and compare two."""

from pydantic import Field

from openhands_sessions.core.ids import ConversationId, EventId
from openhands_sessions.ports.conversations import DialogueDiff, ForkSpec, HistoryTurn
from openhands_sessions.protocol.history_answers import TurnOut
from openhands_sessions.protocol.payloads import Payload, Reply


class ForkIn(Payload):
    """Body of `POST /api/conversations/{id}/fork`: the dialogue is copied up to `event`, between two turns, or up to a
    `checkpoint`; without either, up to the end of the newest turn that has ended. The new conversation has the id
    `conversation_id`, or one that is made for it; with a `key`, the same user makes it once."""

    conversation_id: str | None = None
    event: int | None = Field(None, strict=True)
    checkpoint: str | None = Field(None, min_length=1, max_length=100)
    title: str | None = Field(None, min_length=1, max_length=200)
    key: str | None = Field(None, min_length=1, max_length=128)

    def spec(self, sid: ConversationId) -> ForkSpec:
        event = None if self.event is None else EventId(self.event)
        return ForkSpec(id=sid, event=event, checkpoint=self.checkpoint, title=self.title)


class ForkedOut(Reply):
    """The conversation that was made."""

    conversation_id: str


class DiffHistoryOut(Reply):
    """Two dialogues: `shared` is how many turns both begin with, the prompt counted as one; `ours` and `theirs` are the
    turns that only one of them has, oldest first."""

    shared: int
    ours: list[TurnOut]
    theirs: list[TurnOut]

    @classmethod
    def of(cls, diff: DialogueDiff) -> "DiffHistoryOut":
        ours, theirs = (
            [TurnOut(message=one.message, text=one.text) for one in side] for side in (diff.ours, diff.theirs)
        )
        return cls(shared=diff.shared, ours=ours, theirs=theirs)

    def diff(self) -> DialogueDiff:
        ours, theirs = (
            [HistoryTurn(EventId(one.message), one.text) for one in side] for side in (self.ours, self.theirs)
        )
        return DialogueDiff(shared=self.shared, ours=ours, theirs=theirs)
