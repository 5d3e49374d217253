"""The conversations that are kept, live or not, as one caller sees them."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from openhands_sessions.core.event_filter import EventFilter
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.ids import ConversationId
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


class Conversations(Protocol):
    """Every call but `page` and `delete` raises NotFound for an id that is unknown, deleted or someone else's."""

    async def check(self, sid: ConversationId) -> None:
        """Returns where the caller has such a conversation."""

    async def page(
        self,
        *,
        limit: int,
        page_id: str | None = None,
        matching: ConversationFilter = ANY_CONVERSATION,
        count: bool = False,
    ) -> ConversationPage:
        """Newest first; `count` asks for the total. Raises BadInput for a page id that no page gave."""

    async def rename(self, sid: ConversationId, title: str) -> str:
        """The title as it is kept; followers are told. Raises BadInput for an empty or too long one."""

    async def delete(self, sid: ConversationId) -> bool:
        """End the session and delete the conversation with its log, files and workspace; False where there was
        none."""

    async def events(self, sid: ConversationId, wanted: EventRange) -> tuple[Sequence[Stored], bool]:
        """The events, and whether there are more."""

    def export(self, sid: ConversationId) -> AsyncIterator[bytes]:
        """The trajectory as a JSON list, in chunks: every event but hidden ones, without what browsed pages looked
        like."""

    async def remember_prompt(self, sid: ConversationId, event: int) -> str:
        """A message that has the agent write down what was found out up to an event."""
