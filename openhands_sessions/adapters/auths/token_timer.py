"""The end of a token with which a connection stays open."""

import asyncio
from collections.abc import Callable

from openhands_sessions.core.permissions import Lapse
from openhands_sessions.ports.access import IssuedToken, Principal

LONGEST_TIMER = 24 * 3_600.0
"""Seconds: the time of day may be set, so a far end is looked at again."""


class TokenTimer:
    """Calls `lapsed` once, when the token of one connection expires. `clock` is the time of day, in seconds."""

    def __init__(
        self, principal: Principal, token: IssuedToken, clock: Callable[[], float], lapsed: Callable[[Lapse], None]
    ) -> None:
        self.principal = principal
        self.token = token
        self._clock = clock
        self._lapsed: Callable[[Lapse], None] | None = lapsed
        self._timer: asyncio.TimerHandle | None = None

    def wait(self) -> None:
        loop, left = asyncio.get_running_loop(), self.token.expires - self._clock()
        if left <= 0:
            self.end_soon("expired")
        else:
            self._timer = loop.call_later(min(left, LONGEST_TIMER), self.wait)

    def end_soon(self, why: Lapse) -> None:
        """Not at once: who watches has not heard yet how to stop."""
        self._cancel()
        self._timer = asyncio.get_running_loop().call_later(0, self._end, why)

    def stop(self) -> None:
        self._lapsed = None
        self._cancel()

    def _end(self, why: Lapse) -> None:
        lapsed, self._lapsed = self._lapsed, None
        if lapsed is not None:
            lapsed(why)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
