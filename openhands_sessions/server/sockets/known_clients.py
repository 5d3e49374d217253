"""Connections whose caller is known."""

from typing import Any
from weakref import WeakSet

from aiohttp import web

from openhands_sessions.server.credentials import credentials_of
from openhands_sessions.server.identification import Identification


class KnownClients:
    """Knows a connection by its handshake, if that holds a key or none is needed, or by the first namespace that let it
    in. Only a known client may send large messages."""

    def __init__(self, callers: Identification) -> None:
        self._callers = callers
        self._known: WeakSet[Any] = WeakSet()

    def __contains__(self, engine: object) -> bool:
        """Whether the caller of engine.io's socket is known."""
        return engine in self._known

    def add(self, engine: object) -> None:
        self._known.add(engine)

    async def look(self, engine: object, request: web.Request) -> None:
        """At the handshake."""
        if await self._callers.knows(request, credentials_of(request)):
            self.add(engine)
