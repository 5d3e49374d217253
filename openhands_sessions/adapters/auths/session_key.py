"""One key guards everything; without one, everybody who reaches the port is let in."""

import hmac
from collections.abc import Mapping

from openhands_sessions.core.errors import Unauthorized
from openhands_sessions.core.ids import LOCAL_OWNER
from openhands_sessions.ports.auth import Principal


class SessionKey:
    """User and operator in one."""

    def __init__(self, key: str | None) -> None:
        self._key = key
        self.required = key is not None

    def identify(self, credentials: Mapping[str, str]) -> Principal:
        given = credentials.get("session_api_key", "")
        if self._key is not None and not hmac.compare_digest(given.encode(), self._key.encode()):
            raise Unauthorized("the session key is missing or wrong")
        return Principal(owner=LOCAL_OWNER, operator=True)
