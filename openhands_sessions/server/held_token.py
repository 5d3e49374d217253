"""What keeps a connection open: the token that its caller has shown, where it is one that can lapse."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from aiohttp import web

from openhands_sessions.core.errors import BadInput, Unauthorized
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.permissions import Lapse
from openhands_sessions.ports.access import Principal
from openhands_sessions.protocol.errors import Acknowledgement
from openhands_sessions.protocol.payloads import checked
from openhands_sessions.protocol.socket_messages import AUTHENTICATE, AuthenticateIn
from openhands_sessions.server.credentials import credentials_of
from openhands_sessions.server.identification import Identification


class HeldToken:
    """One connection's. `lapsed` is called once, unless the caller shows a newer one before, or has gone."""

    def __init__(
        self, callers: Identification, request: web.Request, principal: Principal, lapsed: Callable[[Lapse], None]
    ) -> None:
        self._callers = callers
        self._request = request
        self._principal = principal
        self._lapsed: Callable[[Lapse], None] | None = lapsed
        self._stop = callers.auth.watch(principal, self._lapse)

    async def replace(self, values: tuple[Any, ...]) -> dict[str, Json]:
        """Take a newer token, as `authenticate` has it; the acknowledgement. Raises BadInput, RateLimited and
        Unauthorized, also for another user's, and then the older one counts as before."""
        if len(values) != 1:
            raise BadInput(AUTHENTICATE, f"takes one object, not {len(values)} values")
        given = checked(AuthenticateIn, values[0])
        shown = replace(credentials_of(self._request), key=given.token, login="", by_cookie=False)
        principal = await self._callers.verified(self._request, shown)
        if principal.owner != self._principal.owner:
            raise Unauthorized("the token is another user's: this connection goes on with the one that it has")
        if self._principal.watches and not principal.watches:
            raise Unauthorized("the token has a lesser role: this connection goes on with the one that it has")
        if self._lapsed is None:
            raise Unauthorized("the connection ends: connect again with the new token")
        self._stop()
        self._principal = principal
        self._stop = self._callers.auth.watch(principal, self._lapse)
        return Acknowledgement(ok=True).wire()

    def let_go(self) -> None:
        """The connection is over."""
        self._lapsed = None
        self._stop()

    def _lapse(self, why: Lapse) -> None:
        lapsed, self._lapsed = self._lapsed, None
        if lapsed is not None:
            lapsed(why)
