"""Reads a followed list as a client does: it keeps the rows, and notes every item."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.conversations import Conversations, FollowedList, ListItem, ListSnapshot
from openhands_sessions.ports.gateway import SessionInfo

WITHIN = 30.0


class ListReader:
    """The rows as they are after all that was read. A change whose number does not follow is an error."""

    def __init__(self, followed: FollowedList) -> None:
        self.renew = followed.renew
        self.batches = followed.items()
        self.rows: dict[ConversationId, SessionInfo] = {}
        self.items: list[ListItem] = []

    @property
    def snapshots(self) -> list[ListSnapshot]:
        return [item for item in self.items if isinstance(item, ListSnapshot)]

    async def until(self, holds: Callable[[], bool]) -> None:
        """Read until something holds."""
        async with asyncio.timeout(WITHIN):
            while not holds():
                await self.read()

    async def until_snapshots(self, count: int) -> None:
        """Read until so many snapshots have come."""
        await self.until(lambda: len(self.snapshots) == count)

    async def read(self) -> None:
        """Read one batch."""
        for item in await anext(self.batches):
            self._take(item)

    def _take(self, item: ListItem) -> None:
        if isinstance(item, ListSnapshot):
            self.rows = {info.id: info for info in item.conversations}
        else:
            assert item.number == self.items[-1].number + 1, "a gap"
            self.rows.pop(item.id, None)
            if item.conversation is not None:
                self.rows[item.id] = item.conversation
        self.items.append(item)


@asynccontextmanager
async def reading_list(conversations: Conversations) -> AsyncIterator[ListReader]:
    """Follow a list; the first snapshot is read."""
    async with conversations.follow_list() as followed:
        reader = ListReader(followed)
        async with aclosing(reader.batches):
            await reader.until(lambda: bool(reader.items))
            yield reader
