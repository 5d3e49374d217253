"""Authentication by one shared key."""

import hmac
import time
from collections.abc import Callable, Mapping

from openhands_sessions.core.errors import Unauthorized
from openhands_sessions.core.ids import LOCAL_OWNER
from openhands_sessions.ports.access import Principal

_PURPOSE = b"openhands-sessions login until "
"""Keeps these signatures apart from any other use of the key."""


class SessionKey:
    """Every client with the key is the local user and operator; an empty key lets nobody in. `clock` is the time of
    day, in seconds: proofs of a login outlive the process."""

    required = True

    def __init__(self, key: str, clock: Callable[[], float] = time.time) -> None:
        self._key = _encoded(key)
        self._clock = clock

    async def identify(self, credentials: Mapping[str, str]) -> Principal:
        key, proof = credentials.get("session_api_key", ""), credentials.get("login_proof", "")
        if self._key and (hmac.compare_digest(_encoded(key), self._key) or self._holds(proof)):
            return Principal(owner=LOCAL_OWNER, operator=True)
        raise Unauthorized(
            "the session key is missing or wrong: a program sends it as X-Session-API-Key, a browser logs in when the"
            " page is loaded again"
        )

    def login_proof(self, principal: Principal, seconds: float) -> str:
        until = str(int(self._clock() + seconds))
        return f"{until}.{self._signature(until)}"

    def _holds(self, proof: str) -> bool:
        until, _, signature = proof.partition(".")
        # The signature first: what it covers was written here, and is a number.
        return hmac.compare_digest(_encoded(signature), self._signature(until).encode()) and int(until) > self._clock()

    def _signature(self, until: str) -> str:
        return hmac.new(self._key, _PURPOSE + _encoded(until), "sha256").hexdigest()


def _encoded(text: str) -> bytes:
    """`surrogatepass` lets invalid text fail as a wrong key."""
    return text.encode("utf-8", "surrogatepass")
