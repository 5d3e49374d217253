"""Authentication by a proxy in front of the server, which names the user in a header."""

from collections.abc import Callable

from openhands_sessions.core.errors import BadInput, Unauthorized
from openhands_sessions.core.ids import owner_id
from openhands_sessions.core.permissions import Lapse
from openhands_sessions.ports.access import Credentials, LoginProof, Principal, Role


class TrustedHeader:
    """A caller is whom `header` names, in a request that comes straight from a proxy. `is_proxy` is asked with the
    address at the other end of the connection. `role_header` names the role, else everybody is a user."""

    required = True
    asks_for = None
    by_proxy = True
    local = None

    def __init__(self, is_proxy: Callable[[str], bool], header: str, role_header: str | None = None) -> None:
        self._is_proxy = is_proxy
        self._header = header
        self._role_header = role_header

    async def identify(self, credentials: Credentials) -> Principal:
        if not self._is_proxy(credentials.peer):
            raise Unauthorized("callers are let in through the proxies of auth.proxies only: use the proxy's address")
        try:
            owner = owner_id(_only(credentials, self._header))
        except BadInput as error:
            raise Unauthorized(f"header {self._header} {error.message.removeprefix(error.field).strip()}") from None
        return Principal(owner=owner, role=self._role(credentials))

    def login_proof(self, principal: Principal, seconds: int) -> LoginProof:
        return LoginProof("", 0)

    def watch(self, principal: Principal, lapsed: Callable[[Lapse], None]) -> Callable[[], None]:
        return _nothing

    def _role(self, credentials: Credentials) -> Role:
        if self._role_header is None or not credentials.headers(self._role_header):
            return Role.USER
        try:
            return Role(_only(credentials, self._role_header))
        except ValueError:
            raise Unauthorized(f"header {self._role_header} must be one of {', '.join(Role)}") from None


def _only(credentials: Credentials, name: str) -> str:
    """The value of a header that is there once. Raises Unauthorized: of two, one may be the caller's own."""
    values = credentials.headers(name)
    if len(values) != 1:
        told = (
            "is missing: the proxy must set it" if not values else "is there more than once: the proxy must replace it"
        )
        raise Unauthorized(f"header {name} {told}")
    return values[0]


def _nothing() -> None:
    """Each request is vouched for; a connection that is open stays so."""
