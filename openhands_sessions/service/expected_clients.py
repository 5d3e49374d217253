"""Which clients are about to come back: those of what was live when this server, or the one before, ended."""

import asyncio
import json
from collections.abc import Callable, Iterable
from contextlib import suppress

from openhands_sessions.core.errors import StorageError, StorageUnavailable
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.files import FileStore
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.service.settings import load

GRACE = 60.0
"""Seconds from the start of the server. The V0 client tries at least every 8 s, in a hidden tab once a minute."""
_FILE = "server/live.json"


class ExpectedClients:
    """A client of the V0 protocol gives its connection up where the conversation is said to be stopped or starting, and
    looks again after up to 30 s: until it is back, its conversation must not be called so, although no session is set
    up."""

    def __init__(self, files: FileStore, store: SessionStore, grace: float = GRACE) -> None:
        self.over: Callable[[], None] = lambda: None
        """Called when the grace is over; not where the server ends before."""
        self._over: asyncio.TimerHandle | None = None
        self._files = files
        self._store = store
        self._grace = grace
        self._expected: set[ConversationId] = set()
        self._until = 0.0

    def __contains__(self, sid: ConversationId) -> bool:
        return sid in self._expected and asyncio.get_running_loop().time() < self._until

    def discard(self, sid: ConversationId) -> None:
        """The conversation was stopped."""
        self._expected.discard(sid)

    async def begin(self) -> None:
        """The server starts: expect the clients of what was live when the last one shut down or died."""
        with suppress(StorageError):
            noted = (await load(self._files, _FILE)).get("live")
            await self._files.delete(_FILE)
            if isinstance(noted, list):
                self._expected.update(ConversationId(sid) for sid in noted if isinstance(sid, str))
            self._expected.update(await self._store.held())
        loop = asyncio.get_running_loop()
        self._until = loop.time() + self._grace
        self._over = loop.call_at(self._until, lambda: self.over())

    async def end(self, live: Iterable[ConversationId]) -> None:
        """The server shuts down: note what is live for the next one, and say the same of it until the end."""
        self._expected, self._until = set(live), float("inf")
        if self._over is not None:
            self._over.cancel()
        with suppress(StorageUnavailable):
            await self._files.write(_FILE, json.dumps({"live": sorted(self._expected)}).encode())
