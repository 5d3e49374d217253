"""Who calls, and a line in the log for callers that are refused."""

import time
from collections.abc import Callable

from aiohttp import web

from openhands_sessions.core.errors import RateLimited, Unauthorized
from openhands_sessions.core.evolve import evolve
from openhands_sessions.ports.access import Auth, Credentials, Principal
from openhands_sessions.server.failed_logins import FailedLogins
from openhands_sessions.server.forwarding import TrustedProxies, address_of
from openhands_sessions.server.guarded_connection import CONNECTION
from openhands_sessions.server.limited_log import LimitedLog

PRINCIPAL = web.RequestKey("principal", Principal)
SOCKETS = "/socket.io/"
"""Where connections begin; each namespace asks for credentials of its own."""
LONGEST = 200
"""Characters of a caller's text in a line."""


def raw_path(request: web.BaseRequest) -> str:
    """The path as it was sent, without its query: decoded, it could hold a line's end."""
    return request.rel_url.raw_path[:LONGEST]


class Identification:
    """Finds principals by their credentials, and logs each refusal, its own and those passed to `note_refusal`.
    The rate of these lines is limited: each says how many were left out before it."""

    def __init__(
        self, auth: Auth, failed: FailedLogins | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Without `failed`, as many wrong credentials may be shown as one likes."""
        self.auth = auth
        self._failed = failed or FailedLogins(0, TrustedProxies())
        self._lines = LimitedLog("a caller was refused", clock)

    async def identify(self, request: web.Request, credentials: Credentials) -> Principal:
        """The caller, kept with its request. Raises Unauthorized, also for a change by a browser that no page of ours
        or of an allowed origin asks for, and RateLimited."""
        if self._is_by_a_browser(request, credentials) and _changes(request) and not _is_from_a_page(request):
            self.note_refusal(request, "cookie without an origin")
            raise Unauthorized("a login counts for pages of this server only; a program sends X-Session-API-Key")
        principal = evolve(await self.verified(request, credentials), address=self._failed.place(request))
        request[PRINCIPAL] = principal
        if (connection := request.get(CONNECTION)) is not None:
            connection.let_in()
        return principal

    async def verified(self, request: web.BaseRequest, credentials: Credentials) -> Principal:
        """Whose they are. Raises Unauthorized, RateLimited."""
        self.check_rate(request, credentials)
        try:
            principal = await self.auth.identify(credentials)
        except Unauthorized:
            self._failed.note_wrong(request, credentials)
            self.note_refusal(request, _cause(credentials))
            raise
        self.note_right(credentials)
        return principal

    def check_rate(self, request: web.BaseRequest, credentials: Credentials) -> None:
        """Before credentials are looked at. Raises RateLimited."""
        try:
            self._failed.check(request, credentials)
        except RateLimited:
            self.note_refusal(request, "too many wrong keys")
            raise

    def note_right(self, credentials: Credentials) -> None:
        """These are somebody's: they pass also where their address has shown too many wrong ones."""
        self._failed.note_right(credentials)

    async def knows(self, request: web.BaseRequest, credentials: Credentials) -> bool:
        """Whether they belong to anybody. Leaves no line in the log: a caller may show better ones later."""
        try:
            self._failed.check(request, credentials)
            await self.auth.identify(credentials)
        except RateLimited:
            return False
        except Unauthorized:
            self._failed.note_wrong(request, credentials)
            return False
        return True

    def _is_by_a_browser(self, request: web.BaseRequest, credentials: Credentials) -> bool:
        """Whether a foreign page may have sent it in the name of a browser's user."""
        by_proxy = self.auth.by_proxy and "Sec-Fetch-Site" in request.headers
        return self.auth.required and (credentials.by_cookie or by_proxy)

    def note_refusal(self, request: web.BaseRequest, cause: str, given: str = "") -> None:
        """`given` is the caller's text that was refused, and no secret."""
        fields = {"given": ascii(given[:LONGEST])[1:-1]} if given else {}
        self._lines.warn(cause=cause, address=address_of(request), path=raw_path(request), **fields)


def _cause(credentials: Credentials) -> str:
    if credentials.login:
        return "old login"
    return "wrong key" if credentials.key else "no key"


def _changes(request: web.BaseRequest) -> bool:
    return request.method not in ("GET", "HEAD", "OPTIONS") or request.path.startswith(SOCKETS)


def _is_from_a_page(request: web.BaseRequest) -> bool:
    """Whether a browser says which page asks. An origin that is there has been checked; where a page of ours asks for
    something by GET, browsers send the other header in its place."""
    return "Origin" in request.headers or request.headers.get("Sec-Fetch-Site") == "same-origin"
