"""Follows one conversation of another server, over as many connections as it takes."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence

from openhands_sessions.adapters.gateways.connection import GatewayConnection, GatewayConnectionLost
from openhands_sessions.adapters.gateways.reading import UnreadableMessage
from openhands_sessions.core.errors import AtCapacity, NotFound, Unreachable
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.ports.gateway import Delta, FeedItem, SessionClosed, SessionEnded, Status
from openhands_sessions.protocol.socket_messages import Hello

RECONNECTING = Status("info", "STATUS$RECONNECTING", "The connection is lost; trying again.")
RECONNECTED = Status("info", "STATUS$RECONNECTED", "Connected again.")
FIRST_DELAY = 0.1
LONGEST_DELAY = 5.0
AGAIN = (GatewayConnectionLost, Unreachable, AtCapacity)
"""What a new connection may mend."""


class Follower:
    """Holds the cursor. `patience` is in seconds: how long a server may be away."""

    def __init__(self, new_connection: Callable[[], GatewayConnection], after: int, patience: float) -> None:
        self._new_connection = new_connection
        self._cursor = after
        self._patience = patience
        self.connection = new_connection()
        self._hello: Hello | None = None

    async def open(self) -> None:
        """Connect for the first time. Raises what the server refuses with, and Unreachable."""
        self._hello = await self.connection.connect(self._cursor)

    async def close(self) -> None:
        await self.connection.close()

    async def items(self) -> AsyncGenerator[FeedItem, None]:
        """See `Gateway.follow`; a lost connection and its return are told as a Status. Raises SessionEnded, and
        Unreachable where the server stays away."""
        while True:
            try:
                item = await self.connection.next()
            except GatewayConnectionLost:
                yield RECONNECTING
                await self._reconnect()
                yield RECONNECTED
                continue
            match item:
                case SessionClosed(reason="shutdown"):
                    continue  # the connection is lost next, and the server may come back
                case SessionClosed(reason="stopped" | "deleted" as reason):
                    raise SessionEnded(reason)
                case Delta() | Status() | SessionClosed():
                    yield item
                case entries:
                    if fresh := self._after_cursor(entries):
                        yield fresh

    def _after_cursor(self, entries: Sequence[Stored]) -> Sequence[Stored]:
        fresh = [entry for entry in entries if entry.id > self._cursor]
        for entry in fresh:
            if entry.id != self._cursor + 1:
                raise UnreadableMessage(f"event {entry.id} after event {self._cursor}, which")
            self._cursor = entry.id
        return fresh

    async def _reconnect(self) -> None:
        await self.connection.close()
        for delay in delays(self._patience):
            await asyncio.sleep(delay)
            self.connection = self._new_connection()
            try:
                hello = await self.connection.connect(self._cursor)
            except NotFound:
                raise SessionEnded("deleted") from None
            except UnreadableMessage:
                raise
            except (Unreachable, AtCapacity):
                continue
            if self._hello is not None and hello.epoch != self._hello.epoch:
                raise SessionEnded("deleted")
            return
        raise Unreachable(f"the server has not answered for {self._patience:.0f} s")


def delays(patience: float) -> Iterator[float]:
    """Seconds to wait before each try, growing and spread, until patience ends."""
    end = time.monotonic() + patience
    delay = FIRST_DELAY
    while time.monotonic() < end:
        yield delay * random.uniform(0.5, 1.0)
        delay = min(delay * 2, LONGEST_DELAY)
