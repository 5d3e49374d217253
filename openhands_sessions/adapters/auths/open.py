"""No authentication: every client that reaches the port is let in."""

from collections.abc import Mapping

from openhands_sessions.core.ids import LOCAL_OWNER
from openhands_sessions.ports.access import Principal


class OpenAuth:
    """Every caller is the local user and operator."""

    required = False

    async def identify(self, credentials: Mapping[str, str]) -> Principal:
        return Principal(owner=LOCAL_OWNER, operator=True)

    def login_proof(self, principal: Principal, seconds: float) -> str:
        return ""
