"""Spaces out the ends of connections: ten thousand clients may leave in one moment, and others are served meanwhile."""

import asyncio
from collections import deque
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

TOGETHER = 10
"""Connections that end in one turn of the event loop."""


class Departures:
    """Calls what it is given in order, a few in each turn of the loop."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], object]] = deque()

    def add(self, end: Callable[[], object]) -> None:
        self._waiting.append(end)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        for _ in range(min(TOGETHER, len(self._waiting))):
            try:
                self._waiting[0]()
            except Exception:
                log.exception("a connection did not end well")
            self._waiting.popleft()
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._next)
