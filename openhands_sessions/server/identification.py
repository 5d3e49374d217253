"""Who calls, and a line in the log for callers that are refused."""

import time
from collections.abc import Callable

from aiohttp import web

from openhands_sessions.core.errors import Unauthorized
from openhands_sessions.ports.access import Auth, Principal
from openhands_sessions.server.credentials import Credentials
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
    """Finds principals by their keys, and logs each refusal, its own and those that `note_refusal` is told of. The
    rate of these lines is limited: each says how many were left out before it."""

    def __init__(self, auth: Auth, clock: Callable[[], float] = time.monotonic) -> None:
        self._auth = auth
        self._lines = LimitedLog("a caller was refused", clock)

    async def identify(self, request: web.Request, credentials: Credentials) -> Principal:
        """The caller, kept with its request. Raises Unauthorized, also for a change by a cookie that no page of ours
        or of an allowed origin asks for."""
        if credentials.by_cookie and self._auth.required and _changes(request) and not _is_from_a_page(request):
            self.note_refusal(request, "cookie without an origin")
            raise Unauthorized("a login counts for pages of this server only; a program sends X-Session-API-Key")
        try:
            principal = await self._auth.identify(credentials.values)
        except Unauthorized:
            self.note_refusal(request, _cause(credentials))
            raise
        request[PRINCIPAL] = principal
        return principal

    async def knows(self, credentials: Credentials) -> bool:
        """Whether they belong to anybody. Leaves no trace: a caller may show better ones later."""
        try:
            await self._auth.identify(credentials.values)
        except Unauthorized:
            return False
        return True

    def note_refusal(self, request: web.BaseRequest, cause: str, given: str = "") -> None:
        """`given` is the caller's text that was refused, and no secret."""
        fields = {"given": ascii(given[:LONGEST])[1:-1]} if given else {}
        self._lines.warn(cause=cause, address=request.remote, path=raw_path(request), **fields)


def _cause(credentials: Credentials) -> str:
    if "login_proof" in credentials.values:
        return "old login"
    return "wrong key" if credentials.values else "no key"


def _changes(request: web.BaseRequest) -> bool:
    return request.method not in ("GET", "HEAD", "OPTIONS") or request.path.startswith(SOCKETS)


def _is_from_a_page(request: web.BaseRequest) -> bool:
    """Whether a browser says which page asks. An origin that is there has been checked; where a page of ours asks for
    something by GET, browsers send the other header in its place."""
    return "Origin" in request.headers or request.headers.get("Sec-Fetch-Site") == "same-origin"
