"""An operator: watches all sessions over the real Socket.IO client."""

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp

from tests.support.wire import Cut, Wire


class Operator:
    """Watches all sessions."""

    def __init__(self, http: aiohttp.ClientSession, url: str, *, key: str | None = None) -> None:
        self.url = url
        self.overviews: list[dict[str, Any]] = []
        self.changes: list[dict[str, Any]] = []
        self._http = http
        self._key = key
        self._news = asyncio.Event()
        self._wire: Wire | None = None

    async def connect(self) -> None:
        """Connect. Raises Refused and Cut."""
        await self.leave()
        self._wire = Wire(self._http, self._take, self._news.set, "/operator")
        await self._wire.connect(self.url, {}, {} if self._key is None else {"session_api_key": self._key})

    async def leave(self) -> None:
        if self._wire is not None:
            await self._wire.close()

    def states_of(self, sid: str) -> list[str]:
        """The lifecycle states of a session as they were told, repetitions left out."""
        told = [change["state"] for change in self.changes if change["conversation_id"] == sid]
        return [state for place, state in enumerate(told) if place == 0 or told[place - 1] != state]

    def state_of(self, sid: str) -> str | None:
        """The newest lifecycle state of a session; None where none was told."""
        told = [*(session for overview in self.overviews for session in overview["sessions"]), *self.changes]
        newest = max(
            (each for each in told if each["conversation_id"] == sid), key=lambda each: each["number"], default=None
        )
        return None if newest is None else str(newest["state"])

    async def news(self) -> None:
        """Wait for the next packet. Raises Cut."""
        assert self._wire is not None
        if not self._wire.alive:
            raise Cut("the connection was lost")
        self._news.clear()
        await self._news.wait()

    async def until(self, holds: Callable[[], bool], within: float = 60.0) -> None:
        async with asyncio.timeout(within):
            while not holds():
                await self.news()

    def _take(self, name: str, value: Any) -> None:
        if name == "sessions":
            self.overviews.append(value)
        elif name == "session":
            self.changes.append(value)
        self._news.set()
