"""Authentication by one shared key; without a key, every client that reaches the port is let in."""

import hmac
from collections.abc import Mapping

from openhands_sessions.core.errors import Unauthorized
from openhands_sessions.core.ids import LOCAL_OWNER
from openhands_sessions.ports.access import Principal


class SessionKey:
    """Every client with the key is the local user and operator."""

    def __init__(self, key: str | None) -> None:
        self._key = key
        self.required = key is not None

    async def identify(self, credentials: Mapping[str, str]) -> Principal:
        given = credentials.get("session_api_key", "")
        if self._key is not None and not (given and _same(given, self._key)):
            raise Unauthorized("the session key is missing or wrong")
        return Principal(owner=LOCAL_OWNER, operator=True)


def _same(given: str, key: str) -> bool:
    """Compares in constant time; `surrogatepass` lets invalid text fail as a wrong key."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), key.encode("utf-8", "surrogatepass"))
