"""Who follows which conversation, and by what right."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.core.permissions import Lapse
from openhands_sessions.ports.gateway import FeedItem, SessionEnded
from openhands_sessions.ports.sharing import Grantee

Watcher = asyncio.Future[Lapse]
"""One that follows; done when it is let in no more."""


class Watchers:
    """Those who follow the conversations of this process."""

    def __init__(self, changed: Callable[[ConversationId, OwnerId], None]) -> None:
        """`changed` is called when somebody begins to follow a conversation, or stops."""
        self._changed = changed
        self._names: dict[ConversationId, Counter[OwnerId]] = {}
        self._waiting: dict[tuple[ConversationId, Grantee], set[Watcher]] = {}

    def names(self, sid: ConversationId) -> tuple[OwnerId, ...]:
        """Who follows a conversation, in order."""
        return tuple(sorted(self._names.get(sid, ())))

    @contextmanager
    def joined(self, sid: ConversationId, name: OwnerId, grantee: Grantee) -> Iterator[Watcher]:
        """One more who follows, until the end of the block."""
        watcher: Watcher = asyncio.get_running_loop().create_future()
        place = (sid, grantee)
        self._waiting.setdefault(place, set()).add(watcher)
        self._count(sid, name, 1)
        try:
            yield watcher
        finally:
            watcher.cancel()
            self._count(sid, name, -1)
            self._waiting[place].discard(watcher)
            if not self._waiting[place]:
                del self._waiting[place]

    def end(self, sid: ConversationId, grantee: Grantee, why: Lapse) -> None:
        """Send away those who follow by this right."""
        for watcher in self._waiting.get((sid, grantee), ()):
            if not watcher.done():
                watcher.set_result(why)

    def _count(self, sid: ConversationId, name: OwnerId, more: int) -> None:
        names = self._names.setdefault(sid, Counter())
        before = len(names)
        names[name] += more
        if not names[name]:
            del names[name]
        if not names:
            del self._names[sid]
        if len(names) != before:
            self._changed(sid, name)


async def until_lapse(items: AsyncIterator[FeedItem], watcher: Watcher) -> AsyncGenerator[FeedItem, None]:
    """The same items, until the watcher is let in no more: then it raises SessionEnded."""
    coming = asyncio.ensure_future(anext(items))
    try:
        while True:
            either: tuple[asyncio.Future[FeedItem], Watcher] = (coming, watcher)
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if watcher.done():
                raise SessionEnded(watcher.result())
            try:
                item = coming.result()
            except StopAsyncIteration:
                return
            yield item
            coming = asyncio.ensure_future(anext(items))
    finally:
        coming.cancel()
        await asyncio.wait([coming])
