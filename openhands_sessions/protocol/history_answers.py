"""Answers about the history."""

from pydantic import Field

from openhands_sessions.core.history_changes import HistoryChange
from openhands_sessions.core.ids import UNNUMBERED, EventId
from openhands_sessions.core.lineage import Branch, Checkpoint
from openhands_sessions.ports.conversations import DialogueHistory, HistoryTurn
from openhands_sessions.protocol.payloads import Reply


class TurnOut(Reply):
    """A turn: the id of the message that opened it, and the beginning of its text."""

    message: int
    text: str


class BranchOut(Reply):
    """Another dialogue of the conversation, up to and with event `tip`."""

    name: str
    tip: int


class CheckpointOut(Reply):
    """A place with a name: after `event`, or at the end of the turn that runs, where it is null."""

    name: str
    description: str
    event: int | None


class HistoryOut(Reply):
    """The visible dialogue: `chain` are the ranges of its events, both ends included, `turns` the newest ones, oldest
    first; `has_more` says whether there are older ones. `branches` does not list the one that the dialogue is on."""

    branch: str
    chain: list[tuple[int, int]]
    turns: list[TurnOut]
    has_more: bool
    branches: list[BranchOut]
    checkpoints: list[CheckpointOut]

    @classmethod
    def of(cls, history: DialogueHistory) -> "HistoryOut":
        return cls(
            branch=history.branch,
            chain=list(history.chain),
            turns=[TurnOut(message=turn.message, text=turn.text) for turn in history.turns],
            has_more=history.more,
            branches=[BranchOut(name=branch.name, tip=branch.tip) for branch in history.branches],
            checkpoints=[
                CheckpointOut(name=one.name, description=one.description, event=None if one.at < 0 else one.at)
                for one in history.checkpoints
            ],
        )

    def history(self) -> DialogueHistory:
        return DialogueHistory(
            branch=self.branch,
            chain=tuple((EventId(start), EventId(end)) for start, end in self.chain),
            turns=[HistoryTurn(EventId(turn.message), turn.text) for turn in self.turns],
            more=self.has_more,
            branches=[Branch(name=branch.name, tip=EventId(branch.tip)) for branch in self.branches],
            checkpoints=[
                Checkpoint(
                    name=one.name,
                    description=one.description,
                    at=UNNUMBERED if one.event is None else EventId(one.event),
                )
                for one in self.checkpoints
            ],
        )


class HistoryChangedOut(Reply):
    """What was done, by event `id`: `told` says it in words. Of a move, `to` is the event after which the dialogue goes
    on, `message` and `text` the user's message that opened the first turn that was left, and `left_branch` the branch
    that what was left is now; null where it lies on another one. Of a merge, `turns` came from the other dialogue, and
    `conflicts` are turns that the two have in different orders. Of a compaction, what the model is shown, in
    characters: where both are the same, nothing was compacted."""

    id: int
    action: str
    told: str
    to: int | None = None
    branch: str | None = None
    left_branch: str | None = None
    message: int | None = None
    text: str | None = None
    turns: int | None = None
    conflicts: list[str] = Field(default_factory=list)
    characters_before: int | None = None
    characters_after: int | None = None

    @classmethod
    def of(cls, change: HistoryChange) -> "HistoryChangedOut":
        return cls(
            id=change.event,
            action=change.action,
            told=change.told,
            to=change.to,
            branch=change.branch,
            left_branch=change.left_branch,
            message=change.message,
            text=change.text,
            turns=change.turns,
            conflicts=list(change.conflicts),
            characters_before=change.characters_before,
            characters_after=change.characters_after,
        )
