"""The conversations that are kept, live or not, as one caller sees them."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from openhands_sessions.core.event_filter import EventFilter
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.history_changes import HistoryChange
from openhands_sessions.core.ids import ConversationId, EventId
from openhands_sessions.core.lineage import Branch, Chain, Checkpoint
from openhands_sessions.core.permissions import Permission
from openhands_sessions.ports.gateway import SessionInfo


@dataclass(frozen=True, slots=True)
class ConversationPage:
    """Conversations, and the id of the next page; None on the last. `total` counts all that match, where it was asked
    for."""

    conversations: Sequence[SessionInfo]
    next_page: str | None
    total: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ConversationFilter:
    """Which conversations a page has; None for any. `repository` is its name, exactly; `search`, which is
    not empty, stands in the title or in the first message, in upper or lower case (of A to Z)."""

    repository: str | None = None
    trigger: str | None = None
    search: str | None = None
    id_prefix: str | None = None


ANY_CONVERSATION = ConversationFilter()


@dataclass(frozen=True, kw_only=True, slots=True)
class EventRange:
    """Events from `start` to `end`, both included; `end` is None for the newest. At most `limit` that match."""

    start: int = 0
    end: int | None = None
    reverse: bool = False
    limit: int = 100
    matching: EventFilter | None = None


@dataclass(frozen=True, slots=True)
class HistoryTurn:
    """A turn of the dialogue: the user's message that opened it, and the beginning of its text."""

    message: EventId
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DialogueHistory:
    """The newest turns of the visible dialogue, oldest first, `more` where there are older ones, and the places that
    can be gone to."""

    branch: str
    chain: Chain
    turns: Sequence[HistoryTurn]
    more: bool
    branches: Sequence[Branch]
    checkpoints: Sequence[Checkpoint]


@dataclass(frozen=True, slots=True)
class ListSnapshot:
    """The newest conversations of a caller, at most 200, as a page has them; `next_page` where there are more."""

    number: int
    conversations: Sequence[SessionInfo]
    next_page: str | None


@dataclass(frozen=True, slots=True)
class ListChange:
    """A conversation of the list as it is now; None where it was deleted."""

    number: int
    id: ConversationId
    conversation: SessionInfo | None


@dataclass(frozen=True, kw_only=True, slots=True)
class DialogueDiff:
    """Two dialogues: how many turns both begin with, the prompt counted as one, and the turns that only one has, oldest
    first."""

    shared: int
    ours: Sequence[HistoryTurn]
    theirs: Sequence[HistoryTurn]


@dataclass(frozen=True, kw_only=True, slots=True)
class ForkSpec:
    """What a fork is made of: the dialogue up to `event`, between two turns, or up to a `checkpoint`; without either,
    up to the end of the newest turn that has ended. `id` is the new conversation's; without a `title` it has that of
    the one that is copied."""

    id: ConversationId
    event: EventId | None = None
    checkpoint: str | None = None
    title: str | None = None


ListItem = ListSnapshot | ListChange


class FollowedList(Protocol):
    """A caller's list as it changes. Each item has a number one higher than the one before it."""

    def items(self) -> AsyncGenerator[Sequence[ListItem], None]:
        """A snapshot, then the changes behind it, in batches; of a conversation that changes faster than it is read,
        the newest row alone. Another snapshot where too many have changed, and where one was asked for. Ends when
        this process's server shuts down; one that is reached over the network is waited for. Raises StorageError where
        rows cannot be read. Ask for it once."""

    def renew(self) -> None:
        """Have a snapshot come next."""


class Conversations(Protocol):
    """Every call but `page`, `follow_list` and `delete` raises NotFound for an id that is unknown, deleted or neither
    the caller's nor shared with it, and Forbidden for what the caller may not do."""

    async def check(self, sid: ConversationId, needs: Permission = Permission.VIEW) -> None:
        """Returns where the caller has such a conversation, and may do so much with it."""

    async def page(
        self,
        *,
        limit: int,
        page_id: str | None = None,
        matching: ConversationFilter = ANY_CONVERSATION,
        count: bool = False,
    ) -> ConversationPage:
        """The caller's conversations and those that are shared with it, newest first; `count` asks for the total.
        Raises BadInput for a page id that no page gave."""

    async def rename(self, sid: ConversationId, title: str) -> str:
        """The title as it is kept; followers are told. Raises BadInput for an empty or too long one."""

    async def mark_read(self, sid: ConversationId, event: EventId) -> EventId:
        """Raise the caller's read mark to an event; the mark as it is then, which is the old one where that is higher.
        Durable when it returns. Raises BadInput for an event that there is not."""

    def follow_list(self) -> AbstractAsyncContextManager[FollowedList]:
        """Follow the caller's list until the end of the block."""

    async def delete(self, sid: ConversationId) -> bool:
        """End the session and delete the conversation with its log, files and workspace; False where there was
        none."""

    async def events(self, sid: ConversationId, wanted: EventRange) -> tuple[Sequence[Stored], bool]:
        """The events, and whether there are more."""

    async def history(self, sid: ConversationId, *, limit: int, before: EventId | None = None) -> DialogueHistory:
        """The dialogue's newest turns, or the newest of those that began before event `before`. With a `limit` of 0 it
        gives the places alone, whose cost does not rise with the log; `more` then says whether there are events."""

    async def history_change(self, sid: ConversationId, event: EventId) -> HistoryChange:
        """What the command of the history has done whose first event this is. Raises NotFound."""

    async def diff(
        self, sid: ConversationId, other: ConversationId | None = None, branch: str | None = None
    ) -> DialogueDiff:
        """Compare the visible dialogue with that of another conversation, or of a branch. Raises BadInput where neither
        is named, or the branch is unknown, TooLarge for a dialogue that is too long to be compared."""

    async def fork(self, sid: ConversationId, spec: ForkSpec) -> None:
        """Make a conversation of the caller's own that begins with a copy of this one's visible dialogue, stored as
        one: its log, its row, a snapshot. Its sandbox is a new one, and what the copied model calls have cost is not
        counted again. The same `spec` again changes nothing. Raises BadInput for what is no place between two turns,
        NotAccepting where nothing can be copied yet, AlreadyExists where the id is taken, TooLarge, LimitReached,
        Forbidden for the holder of a link."""

    def export(self, sid: ConversationId) -> AsyncIterator[bytes]:
        """A JSON object in chunks: the `trajectory`, a list of every event but hidden ones, without what browsed pages
        looked like; the `user_id` of the owner; and `total_cost`, US dollars, null where the log cannot be read."""

    async def remember_prompt(self, sid: ConversationId, event: int) -> str:
        """A message that has the agent write down what was found out up to an event."""
