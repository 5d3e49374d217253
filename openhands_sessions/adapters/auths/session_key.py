"""Authentication by one shared key."""

import hmac
import time
from collections.abc import Callable
from typing import Literal

from openhands_sessions.core.errors import Unauthorized
from openhands_sessions.core.ids import LOCAL_OWNER
from openhands_sessions.core.permissions import Lapse
from openhands_sessions.ports.access import Credentials, LoginProof, Principal, Role

_PURPOSE = b"openhands-sessions login until "
"""Keeps these signatures apart from any other use of the key."""


class SessionKey:
    """Every client with the key is the local user, and admin; an empty key refuses every caller. `clock` is the time of
    day, in seconds: proofs of a login outlive the process."""

    required = True
    asks_for: Literal["key"] = "key"
    by_proxy = False
    local = Principal(owner=LOCAL_OWNER, role=Role.ADMIN)

    def __init__(self, key: str, clock: Callable[[], float] = time.time) -> None:
        self._key = _encoded(key)
        self._clock = clock

    async def identify(self, credentials: Credentials) -> Principal:
        right = hmac.compare_digest(_encoded(credentials.key), self._key)
        if self._key and (right or self._holds(credentials.login)):
            return Principal(owner=LOCAL_OWNER, role=Role.ADMIN)
        raise Unauthorized(
            "the session key is missing or wrong: a program sends it as X-Session-API-Key, a browser logs in when the"
            " page is loaded again"
        )

    def login_proof(self, principal: Principal, seconds: int) -> LoginProof:
        until = str(int(self._clock() + seconds))
        return LoginProof(f"{until}.{self._signature(until)}", seconds)

    def watch(self, principal: Principal, lapsed: Callable[[Lapse], None]) -> Callable[[], None]:
        return _nothing

    def _holds(self, proof: str) -> bool:
        until, _, signature = proof.partition(".")
        # The signature first: what it covers was written here, and is a number.
        return hmac.compare_digest(_encoded(signature), self._signature(until).encode()) and int(until) > self._clock()

    def _signature(self, until: str) -> str:
        return hmac.new(self._key, _PURPOSE + _encoded(until), "sha256").hexdigest()


def _nothing() -> None:
    """A key changes with a restart only."""


def _encoded(text: str) -> bytes:
    """`surrogatepass` lets invalid text fail as a wrong key."""
    return text.encode("utf-8", "surrogatepass")
