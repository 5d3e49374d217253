"""How many wrong credentials an address may show."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from aiohttp import web

from openhands_sessions.ports.access import Credentials
from openhands_sessions.server.forwarding import TrustedProxies, address_of
from openhands_sessions.server.rate_limit import TokenBucket

MOST_ADDRESSES = 10_000
MOST_WRONG = 32
"""Wrong credentials of one address that are remembered, by their digests."""
MOST_RIGHT = 10_000
"""Right credentials that are remembered in the same way."""


class _Address:
    """What one address has shown."""

    def __init__(self, bucket: TokenBucket) -> None:
        self.bucket = bucket
        self.wrong: OrderedDict[bytes, None] = OrderedDict()


class FailedLogins:
    """Allows an address `per_minute` wrong credentials at once and as many each minute; 0 sets no limit. Above it, the
    address is refused before its credentials are checked: otherwise a guess would show which ones are right.
    Credentials that were right earlier pass, so that users who share an address with an attacker stay logged in. Equal
    wrong credentials count once: a page with an old cookie sends many requests. Loopback and trusted proxies are not
    counted; callers behind a trusted proxy count by their own addresses."""

    def __init__(self, per_minute: float, proxies: TrustedProxies, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._proxies = proxies
        self._clock = clock
        self._addresses: OrderedDict[str, _Address] = OrderedDict()
        self._right: OrderedDict[bytes, None] = OrderedDict()

    def place(self, request: web.BaseRequest) -> str:
        """Under which address a caller is counted; empty where it is not."""
        return self._proxies.counted_as(address_of(request))

    def check(self, request: web.BaseRequest, credentials: Credentials) -> None:
        """Before they are looked at. Raises RateLimited."""
        if not self._addresses:
            return
        found, shown = self._addresses.get(self.place(request)), _digest(credentials)
        if found is not None and shown is not None and shown not in found.wrong and shown not in self._right:
            found.bucket.check()

    def note_right(self, credentials: Credentials) -> None:
        if self._per_minute and (shown := _digest(credentials)) is not None:
            _remember(self._right, shown, MOST_RIGHT)

    def note_wrong(self, request: web.BaseRequest, credentials: Credentials) -> None:
        place, shown = self.place(request), _digest(credentials)
        if not self._per_minute or not place or shown is None:
            return
        found = self._addresses.get(place)
        if found is None:
            burst = max(self._per_minute, 1)
            found = _Address(TokenBucket(self._per_minute / 60, burst, self._clock, "wrong keys or logins"))
        _remember(self._addresses, place, MOST_ADDRESSES, found)
        if shown not in found.wrong:
            found.bucket.spend()
        _remember(found.wrong, shown, MOST_WRONG)


def _remember(among: OrderedDict[Any, Any], key: object, most: int, value: object = None) -> None:
    """As the newest; the oldest is forgotten where there are too many."""
    among[key] = value
    among.move_to_end(key)
    if len(among) > most:
        among.popitem(last=False)


def _digest(credentials: Credentials) -> bytes | None:
    """None where no key and no login was shown."""
    shown = credentials.key or credentials.login
    return hashlib.sha256(shown.encode("utf-8", "surrogatepass")).digest() if shown else None
