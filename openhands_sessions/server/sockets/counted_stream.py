"""What comes over a websocket's transport, counted before aiohttp reads it."""

import asyncio
from collections.abc import Callable
from functools import partial

from openhands_sessions.server.inbound import InboundBudget, InboundShare
from openhands_sessions.server.sockets.departures import Departures

LITTLE = 4 * 1024
"""Bytes that are not counted: less than a connection takes by itself."""
MUCH = 64 * 1024
"""Bytes of an unfinished message from which each further piece is looked at."""


class CountedStream(asyncio.Protocol):
    """Stands between a transport and its protocol. `much` is called with each piece of a message that is large and not
    whole; `give_up` where the bytes that this one holds are needed for others."""

    def __init__(
        self,
        transport: asyncio.Transport,
        budget: InboundBudget,
        departures: Departures,
        *,
        much: Callable[[], None],
        give_up: Callable[[], None],
    ) -> None:
        inner = transport.get_protocol()
        assert isinstance(inner, asyncio.Protocol)
        self.gone = asyncio.Event()
        self.received = 0
        """Bytes that have ever come."""
        self.held = 0
        """Bytes of messages that engine.io has not taken yet."""
        self.dropping = False
        self._transport = transport
        self._inner = inner
        self._budget = budget
        self._departures = departures
        self._much = much
        self._share = InboundShare(give_up)
        transport.set_protocol(self)

    def taken(self, size: int, before: int) -> None:
        """A message of `size` bytes was taken; its reader began to wait when `before` bytes had been received. What
        came before a wait belongs to the message that ended it, so that the frames around messages are not added up."""
        left = max(0, self.held - size - _around(size))
        if self.received > before:
            left = min(left, self.received - before)
        self.held = left
        if self._share.held:
            self._budget.keep(self._share, left)

    def drop(self) -> None:
        """Let nothing more through."""
        self.dropping = True

    def close(self) -> None:
        """Hold and count no more."""
        self.dropping = True
        self.held = 0
        self._budget.keep(self._share, 0)
        self._much = self._share.give_up = _nothing

    def data_received(self, data: bytes) -> None:
        if self.dropping:
            return
        size = len(data)
        self.received += size
        self.held += size
        if self.held <= LITTLE or self._admitted():
            self._inner.data_received(data)

    def eof_received(self) -> bool:
        """The client has gone: the transport stays open until it is this one's turn to end."""
        self._inner.eof_received()
        self._departures.add(self._transport.close)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        self._departures.add(partial(self._inner.connection_lost, exc))

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def _admitted(self) -> bool:
        """Count what is held. False where that ended the connection."""
        self._budget.add(self._share, self.held - self._share.held)
        if self._share.held > MUCH:
            self._much()
        return not self.dropping


def _nothing() -> None:
    pass


def _around(size: int) -> int:
    """Bytes of the frame around a message that came in one (RFC 6455, 5.2)."""
    if size < 126:
        return 6
    return 8 if size < 1 << 16 else 14
