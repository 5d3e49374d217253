"""One-time tokens that log a browser in."""

import hashlib
import secrets
import time
from collections.abc import Callable

from openhands_sessions.ports.access import Principal

TOKEN_SECONDS = 15 * 60
MOST_TOKENS = 100
"""Tokens that are remembered, used ones too; beyond them the oldest is unknown."""


class LoginTokenRefused(Exception):
    """`reason` is `unknown`, `used` or `expired`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class LoginTokens:
    """One-time tokens, in memory: a restart forgets them. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._issued: dict[bytes, tuple[float, Principal | None]] = {}

    def issue(self, principal: Principal) -> str:
        """A token that stands for this principal, for TOKEN_SECONDS."""
        token = secrets.token_urlsafe(32)
        self._issued[_digest(token)] = (self._clock() + TOKEN_SECONDS, principal)
        while len(self._issued) > MOST_TOKENS:
            del self._issued[next(iter(self._issued))]
        return token

    def redeem(self, token: str) -> Principal:
        """Use it up. Raises LoginTokenRefused."""
        until, principal = self._issued.get(_digest(token), (None, None))
        if until is None:
            raise LoginTokenRefused("unknown")
        if principal is None:
            raise LoginTokenRefused("used")
        self._issued[_digest(token)] = (until, None)
        if self._clock() > until:
            raise LoginTokenRefused("expired")
        return principal


def _digest(token: str) -> bytes:
    """Looked up in place of the token, so that the time a look-up takes says nothing."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
