"""How often a caller may ask, over all its connections and requests."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from aiohttp import web

from openhands_sessions.core.ids import OwnerId
from openhands_sessions.server.forwarding import address_of
from openhands_sessions.server.identification import PRINCIPAL
from openhands_sessions.server.rate_limit import TokenBucket

MOST_CALLERS = 10_000
"""Callers with a key whose rates are remembered; beyond them, the one that asked longest ago is forgotten."""
REQUESTS_AT_ONCE = 4
"""Seconds whose requests may come in one moment: a page loads with many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """What one caller may ask; 0 is no limit. `messages_burst` commands may come at once."""

    messages_per_second: float = 0.0
    messages_burst: int = 1
    creates_per_minute: float = 0.0
    requests_per_second: float = 0.0


class CallerRates:
    """What one caller has asked."""

    def __init__(self, rates: Rates, clock: Callable[[], float]) -> None:
        creates, requests = rates.creates_per_minute, rates.requests_per_second
        self.messages = TokenBucket(rates.messages_per_second, rates.messages_burst, clock)
        self.creates = TokenBucket(creates / 60, max(creates, 1), clock, "new conversations")
        self.requests = TokenBucket(requests, max(requests * REQUESTS_AT_ONCE, 1), clock, "requests")


class RateLimits:
    """The rates of all callers. A user has its own; who has the one key shares its rates with all that use it from the
    same address; where no key is needed, each connection has rates of its own, since there is nothing else to tell
    callers apart by."""

    def __init__(
        self, rates: Rates, *, keyed: bool, users: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`users`: whether callers are told apart by who they are."""
        self._rates = rates
        self._keyed = keyed
        self._users = users
        self._clock = clock
        self._callers: OrderedDict[tuple[OwnerId, str | None], CallerRates] = OrderedDict()
        self._connections: WeakKeyDictionary[asyncio.Transport, CallerRates] = WeakKeyDictionary()

    def of(self, request: web.Request) -> CallerRates:
        """Those of the caller of this request, who is identified."""
        return self._of_key(request) if self._keyed else self._of_connection(request.transport)

    def _of_connection(self, transport: asyncio.Transport | None) -> CallerRates:
        found = None if transport is None else self._connections.get(transport)
        if found is None:
            found = CallerRates(self._rates, self._clock)
            if transport is not None:
                self._connections[transport] = found
        return found

    def _of_key(self, request: web.Request) -> CallerRates:
        caller = (request[PRINCIPAL].owner, None if self._users else address_of(request))
        found = self._callers.get(caller)
        if found is None:
            found = self._callers[caller] = CallerRates(self._rates, self._clock)
            if len(self._callers) > MOST_CALLERS:
                self._callers.popitem(last=False)
        else:
            self._callers.move_to_end(caller)
        return found


RATES = web.AppKey("rates", RateLimits)


def rates_of(request: web.Request) -> CallerRates:
    """What the caller of this request has asked."""
    return request.app[RATES].of(request)
