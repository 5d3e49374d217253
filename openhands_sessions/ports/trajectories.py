"""Trajectories that are saved elsewhere: which are still to be saved, and where they go."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from openhands_sessions.core.ids import ConversationId, EventId


@dataclass(frozen=True, slots=True)
class PendingUpload:
    """A conversation whose trajectory is to be saved, up to `head` at least, when `at` comes. `tries` have failed."""

    conversation: ConversationId
    head: EventId
    tries: int
    at: datetime


class UploadQueue(Protocol):
    """What is still to be saved, one entry for each conversation. Every call is durable when it returns."""

    async def put(self, sid: ConversationId, head: EventId, at: datetime) -> None:
        """The events up to `head` are to be saved, from `at` on. Without effect where they are saved already, and where
        the conversation has no row."""

    async def pending(self, limit: int) -> Sequence[PendingUpload]:
        """Those that are to be saved first, at most so many. It walks along an index."""

    async def postpone(self, upload: PendingUpload, at: datetime) -> None:
        """One more try has failed; the next one comes `at`. Without effect where a newer head was put meanwhile."""

    async def done(self, upload: PendingUpload) -> None:
        """The events up to its head are saved. A newer head that was put meanwhile stays pending."""


class TrajectoryArchive(Protocol):
    """Where trajectories are saved."""

    async def save(self, name: str, content: AsyncIterator[bytes]) -> None:
        """Save a file, whole or not at all; it takes the place of one with the same name. `content` is read once.
        Raises StorageUnavailable, and what `content` raises."""
