"""A follower of a feed that takes down what it gets."""

import asyncio
from collections.abc import Sequence
from itertools import cycle

from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.event import Source
from openhands_sessions.ports.gateway import Delta, FeedItem, SessionClosed, SessionEnded, Status
from openhands_sessions.ports.store import EventLog
from openhands_sessions.session.event_stream import EventStream
from openhands_sessions.session.feed import Feed
from tests.support.store_entries import NOW


def said(text: str = "x") -> MessageAction:
    return MessageAction(source=Source.USER, content=text)


async def opened(log: EventLog) -> EventStream:
    stream = EventStream(log, Feed(log), lambda: NOW)
    await stream.load(1, None)
    return stream


class Follower:
    """Takes down all it gets; `pace` says how many turns of the loop it rests after each piece of news. `direct` says
    which of the items that it is offered in place of the iterator it takes; over and over."""

    def __init__(self, stream: EventStream, after: int = -1, *, pace: int = 0, direct: Sequence[bool] = ()) -> None:
        self.ids: list[int] = []
        self.news: list[int | Delta | Status | SessionClosed] = []
        self.ended: str | None = None
        self._stream = stream
        self._after = after
        self._pace = pace
        self._taking = cycle(direct)
        self._deliver = self._offered if direct else None

    def _offered(self, news: FeedItem) -> bool:
        if taken := next(self._taking):
            self._take(news)
        return taken

    async def run(self) -> None:
        following = self._stream.feed.follow(self._after, self._deliver)
        try:
            async for news in following:
                self._take(news)
                for _ in range(self._pace):
                    await asyncio.sleep(0)
        except SessionEnded as end:
            self.ended = end.reason
        finally:
            await following.aclose()

    def _take(self, news: FeedItem) -> None:
        if isinstance(news, Delta | Status | SessionClosed):
            self.news.append(news)
            return
        assert news, "an empty batch"
        self.ids += [entry.id for entry in news]
        self.news += [entry.id for entry in news]


async def rest(turns: int = 20) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)
