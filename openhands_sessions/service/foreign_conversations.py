"""Keeps the feeds of conversations up to date that other processes write."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from openhands_sessions.core.errors import StorageError
from openhands_sessions.ports.foreign_writes import ForeignWrites
from openhands_sessions.ports.store import EventLog
from openhands_sessions.session.feed import Feed

log = structlog.get_logger(__name__)


@asynccontextmanager
async def kept_up_to_date(feed: Feed, events: EventLog, writes: ForeignWrites) -> AsyncIterator[None]:
    """For the length of the block, the feed's followers get what another process appends to the log."""
    async with writes.watch() as moments:
        task = asyncio.create_task(_load(feed, events, moments), name="writes of another process")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])


async def _load(feed: Feed, events: EventLog, moments: AsyncIterator[None]) -> None:
    """A head that cannot be read now is read with the next write."""
    async for _ in _at_once_and(moments):
        try:
            feed.load(await events.head())
        except StorageError as error:
            log.warning("what another process has written cannot be read", problem=error.message)


async def _at_once_and(moments: AsyncIterator[None]) -> AsyncIterator[None]:
    yield
    async for moment in moments:
        yield moment
