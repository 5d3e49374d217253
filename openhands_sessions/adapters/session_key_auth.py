"""Authentication by one shared key; without a key, every client that reaches the port is let in."""

import hmac
from collections.abc import Mapping

from openhands_sessions.core.errors import Unauthorized
from openhands_sessions.core.ids import LOCAL_OWNER
from openhands_sessions.ports.access import Principal


class SessionKey:
    """Every client with the key is the local user and operator."""

    def __init__(self, key: str | None) -> None:
        self._key = None if key is None else _encoded(key)
        self.required = key is not None

    async def identify(self, credentials: Mapping[str, str]) -> Principal:
        given = credentials.get("session_api_key", "")
        if self._key is not None and not (given and hmac.compare_digest(_encoded(given), self._key)):
            raise Unauthorized("the session key is missing or wrong")
        return Principal(owner=LOCAL_OWNER, operator=True)


def _encoded(text: str) -> bytes:
    """`surrogatepass` lets invalid text fail as a wrong key."""
    return text.encode("utf-8", "surrogatepass")
