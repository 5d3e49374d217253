"""By how much the event loop is late for a timer: while something holds it, nobody is served."""

import asyncio
from collections.abc import AsyncIterator
from time import perf_counter

from aiohttp import web

from openhands_sessions.core.measurements import Histogram

INTERVAL = 1.0
"""Seconds between two timers."""


class LoopLag:
    """Observes the lateness of one timer after the other, from `begin` until `end`."""

    def __init__(self, lags: Histogram, interval: float = INTERVAL) -> None:
        self._lags = lags
        self._interval = interval
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def begin(self) -> None:
        self._due = perf_counter() + self._interval
        self._timer = asyncio.get_running_loop().call_later(self._interval, self._late)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _late(self) -> None:
        self._lags.observe(max(0.0, perf_counter() - self._due))
        self.begin()


async def measured(lags: Histogram, app: web.Application) -> AsyncIterator[None]:
    """Observe while an application runs."""
    lag = LoopLag(lags)
    lag.begin()
    yield
    lag.end()
