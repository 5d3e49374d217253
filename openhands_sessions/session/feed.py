"""The fan-out of one conversation: followers read from here, whether or not a session lives."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.ids import UNNUMBERED
from openhands_sessions.core.measurements import Measurements
from openhands_sessions.ports.gateway import Deliver, Delta, EndReason, FeedItem, SessionClosed, SessionEnded, Status
from openhands_sessions.ports.store import EventLog
from openhands_sessions.session.placeholder import readable
from openhands_sessions.session.recent_items import RecentItems, RecentMemory, Transient


@dataclass(slots=True, eq=False)
class _Follower:
    """Has everything up to event `cursor` and transient item `heard`. While it waits it has everything there is."""

    cursor: int
    heard: int
    deliver: Deliver | None
    wakeup: "asyncio.Future[None] | None" = None

    def takes(self, item: FeedItem) -> bool:
        """Whether it has taken the item without being woken."""
        if self.deliver is None or self.wakeup is None or self.wakeup.done():
            return False
        try:
            return self.deliver(item)
        except Exception as error:
            self.wakeup.set_exception(error)
            return False

    def wake(self) -> None:
        if self.wakeup is not None and not self.wakeup.done():
            self.wakeup.set_result(None)


class Feed:
    """Wakes the followers of one conversation. Each follower holds a cursor; the feed holds the newest events and the
    newest transient items, so a slow follower costs an integer.

    A session publishes what it has stored. Sessions come and go; the feed outlives them while somebody follows.
    """

    def __init__(
        self, log: EventLog, measurements: Measurements | None = None, memory: RecentMemory | None = None
    ) -> None:
        self.followers = 0
        self._measurements = measurements or Measurements()
        self._log = log
        self._head: int | None = None
        self._recent = RecentItems(memory or RecentMemory())
        self._transient_count = 0
        self._setup_start: int | None = None
        self._closed: SessionClosed | None = None
        self._ended: EndReason | None = None
        self._waiting: dict[_Follower, None] = {}

    @property
    def ended(self) -> bool:
        """Whether followers are sent away once they have read what is stored."""
        return self._ended is not None

    def begin(self) -> None:
        """A session is being set up: its statuses are also for followers that come while that lasts."""
        self._setup_start = self._transient_count
        self._closed = None

    def ready(self) -> None:
        """Set-up is over."""
        self._setup_start = None

    def load(self, head: int) -> None:
        """Everything up to `head` is stored, perhaps by another process."""
        if self._head is None or head > self._head:
            self._head = head
            self._recent.clear_events()
            self._wake()

    def publish(self, entries: Sequence[Stored]) -> None:
        """These events are durable. Call it in the order of their ids."""
        self._head = entries[-1].id
        self._recent.add(entries)
        self._offer(entries, after=entries[0].id - 1)

    def publish_transient(self, item: Delta | Status) -> None:
        """Send an item to those who follow at this moment. It is not stored, and a follower that is more than
        TRANSIENTS items behind loses it."""
        self._transient_count += 1
        self._recent.add_transient(Transient(self._transient_count, self._known_head, item))
        self._offer(item)

    def close(self, reason: EndReason) -> None:
        """The session has closed, and the conversation goes on: followers hear of it and stay."""
        self._closed = SessionClosed(reason)
        self._wake()

    def end(self, reason: EndReason) -> None:
        """Let every follower read what is stored, then raise SessionEnded. The first reason counts."""
        if self._ended is None:
            self._ended = reason
            self._wake()

    async def follow(self, after: int, deliver: Deliver | None = None) -> AsyncGenerator[FeedItem, None]:
        """Everything after event `after`: stored events first, live ones next; see `Gateway.follow`. Raises
        SessionEnded, StorageError."""
        heard = self._transient_count if self._setup_start is None else self._setup_start
        follower = _Follower(after, heard, deliver)
        told: SessionClosed | None = None
        batch: Sequence[Stored] = ()
        self.followers += 1
        try:
            if self._head is None:
                self.load(await self._log.head())
            while True:
                transient = self._recent.transient_after(follower.heard)
                head = self._known_head if transient is None else min(transient.head, self._known_head)
                if follower.cursor < head:
                    async with aclosing(self._between(follower.cursor, head)) as batches:
                        async for batch in batches:
                            follower.cursor = batch[-1].id
                            yield batch
                    batch = ()  # while it waits, a follower keeps nothing of what it has read
                elif transient is not None:
                    self._measurements.transients_lost += transient.number - follower.heard - 1
                    follower.heard = transient.number
                    yield transient.item
                elif self._ended is not None:
                    raise SessionEnded(self._ended)
                elif self._closed is not None and self._closed is not told:
                    told = self._closed
                    yield told
                else:
                    await self._news(follower)
        finally:
            self.followers -= 1

    @property
    def _known_head(self) -> int:
        return UNNUMBERED if self._head is None else self._head

    async def _between(self, cursor: int, head: int) -> AsyncGenerator[Sequence[Stored], None]:
        """Events after `cursor` up to and with `head`, from memory where they are there. Followers at one cursor get
        one and the same batch, so that an edge can encode it once."""
        if (recent := self._recent.between(cursor, head)) is not None:
            yield recent
            return
        async for batch in readable(self._log, cursor, before=head + 1):
            yield batch

    async def _news(self, follower: _Follower) -> None:
        """Wait for what the follower cannot be given otherwise."""
        follower.wakeup = asyncio.get_running_loop().create_future()
        self._waiting[follower] = None
        try:
            await follower.wakeup
        finally:
            self._waiting.pop(follower, None)

    def _offer(self, item: FeedItem, *, after: int | None = None) -> None:
        """Give a live item to the followers that wait and can take it, and wake the others. `after` is the event that a
        follower must have before it."""
        waiting, self._waiting = self._waiting, {}
        for follower in waiting:
            if (after is None or follower.cursor == after) and follower.takes(item):
                follower.cursor = max(follower.cursor, self._known_head)
                follower.heard = self._transient_count
                self._waiting[follower] = None
            else:
                follower.wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for follower in waiting:
            follower.wake()
