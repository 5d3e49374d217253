"""What another installation has on disk, for an import."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from openhands_sessions.core.ids import ConversationId


@dataclass(frozen=True, slots=True)
class ForeignConversation:
    """One conversation over there; `place` is where it is, relative to what was named, for people."""

    id: ConversationId
    place: str


@dataclass(frozen=True, slots=True)
class SkippedConversation:
    """Something that stands where conversations do and cannot be taken, and why not, for people."""

    place: str
    why: str


@dataclass(frozen=True, slots=True)
class ForeignEvent:
    """An event over there: its number, and what its file holds, or why that cannot be said."""

    number: int
    wire: Mapping[str, Any] | None
    problem: str = ""


class UnreadableConversation(Exception):
    """What was asked for cannot be read; the message says why, for people, and holds no path of this machine."""


class Installation(Protocol):
    """Read only. Nothing outside of what was named is looked at, and nothing of it is carried out."""

    async def conversations(self) -> Sequence[ForeignConversation | SkippedConversation]:
        """All of them, in an order that stays. Raises BadInput where nothing of the kind is there."""

    async def metadata(self, theirs: ForeignConversation) -> Mapping[str, Any]:
        """Raises Unreadable."""

    async def newest(self, theirs: ForeignConversation) -> int:
        """The highest number of an event, -1 for none. Raises Unreadable."""

    def events(self, theirs: ForeignConversation, after: int) -> AsyncIterator[Sequence[ForeignEvent]]:
        """Those with a number above `after`, by rising number, in batches of bounded size. Numbers may have holes.
        Raises Unreadable where not even the numbers can be had."""
