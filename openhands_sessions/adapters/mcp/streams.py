"""What the SDK's client session reads from and writes to."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self

import anyio
from mcp import types
from mcp.client._transport import TransportStreams
from mcp.shared.message import SessionMessage

from openhands_sessions.adapters.mcp.attempts import CallFault

Received = SessionMessage | Exception
Transport = Callable[[Callable[[], None]], AbstractAsyncContextManager[TransportStreams]]
"""Opens the way to a server; what it is given is called when the server has ended it."""

_NOTICE_SECONDS = 0.5


class DirectWriter:
    """Writes in the sender's task, so that a fault is raised in the call whose message it concerns. A notification is
    dropped where it cannot be written within half a second."""

    def __init__(self, write: Callable[[types.JSONRPCMessage], Awaitable[None]]) -> None:
        self._write = write

    async def send(self, item: SessionMessage, /) -> None:
        """Raises CallFault for a request."""
        if isinstance(item.message, types.JSONRPCRequest):
            await self._write(item.message)
            return
        try:
            async with asyncio.timeout(_NOTICE_SECONDS):
                await self._write(item.message)
        except (CallFault, TimeoutError):
            raise anyio.BrokenResourceError from None

    async def aclose(self) -> None:
        """Nothing is held."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
