"""No authentication: every client that reaches the port is let in."""

from collections.abc import Callable

from openhands_sessions.core.ids import LOCAL_OWNER
from openhands_sessions.core.permissions import Lapse
from openhands_sessions.ports.access import Credentials, LoginProof, Principal, Role


class OpenAuth:
    """Every caller is the local user, and admin."""

    required = False
    asks_for = None
    by_proxy = False
    local = Principal(owner=LOCAL_OWNER, role=Role.ADMIN)

    async def identify(self, credentials: Credentials) -> Principal:
        return Principal(owner=LOCAL_OWNER, role=Role.ADMIN)

    def login_proof(self, principal: Principal, seconds: int) -> LoginProof:
        return LoginProof("", 0)

    def watch(self, principal: Principal, lapsed: Callable[[Lapse], None]) -> Callable[[], None]:
        return _nothing


def _nothing() -> None:
    pass
