"""What comes over a websocket's transport, counted before aiohttp reads it."""

import asyncio
from collections.abc import Callable

from openhands_sessions.server.inbound import InboundBudget, InboundShare

MUCH = 64 * 1024
"""Bytes of an unfinished message from which each further piece is looked at."""


class CountedStream(asyncio.Protocol):
    """Stands between a transport and its protocol. `much` is called with each piece of a message that is large and not
    whole; `give_up` where the bytes that this one holds are needed for others."""

    def __init__(
        self,
        transport: asyncio.Transport,
        budget: InboundBudget,
        *,
        much: Callable[[], None],
        give_up: Callable[[], None],
    ) -> None:
        inner = transport.get_protocol()
        assert isinstance(inner, asyncio.Protocol)
        self.gone = asyncio.Event()
        self.received = 0
        self._inner = inner
        self._budget = budget
        self._much = much
        self._share = InboundShare(give_up)
        self.dropping = False
        transport.set_protocol(self)

    @property
    def held(self) -> int:
        """Bytes of messages that nobody has taken yet."""
        return self._share.held

    def taken(self, size: int, before: int) -> None:
        """A message of `size` bytes was taken; its reader began to wait when `before` bytes had been received. What
        came before a wait belongs to the message that ended it, so that the frames around messages are not added up."""
        left = max(0, self._share.held - size - _around(size))
        if self.received > before:
            left = min(left, self.received - before)
        self._budget.keep(self._share, left)

    def drop(self) -> None:
        """Let nothing more through."""
        self.dropping = True

    def close(self) -> None:
        """Count no more."""
        self.dropping = True
        self._budget.keep(self._share, 0)

    def data_received(self, data: bytes) -> None:
        if self.dropping:
            return
        self.received += len(data)
        self._budget.add(self._share, len(data))
        if self._share.held > MUCH:
            self._much()
        if not self.dropping:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()


def _around(size: int) -> int:
    """Bytes of the frame around a message that came in one (RFC 6455, 5.2)."""
    if size < 126:
        return 6
    return 8 if size < 1 << 16 else 14
