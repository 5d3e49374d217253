"""Who calls, and a line in the log for callers that are refused."""

import time
from collections.abc import Callable, Mapping

from aiohttp import web

from openhands_sessions.core.errors import Unauthorized
from openhands_sessions.ports.access import Auth, Principal
from openhands_sessions.server.limited_log import LimitedLog

PRINCIPAL = web.RequestKey("principal", Principal)
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

    async def identify(self, request: web.Request, credentials: Mapping[str, str]) -> Principal:
        """The caller, kept with its request. Raises Unauthorized."""
        try:
            principal = await self._auth.identify(credentials)
        except Unauthorized:
            self.note_refusal(request, "wrong key" if credentials else "no key")
            raise
        request[PRINCIPAL] = principal
        return principal

    async def knows(self, credentials: Mapping[str, str]) -> bool:
        """Whether they belong to anybody. Leaves no trace: a caller may show better ones later."""
        try:
            await self._auth.identify(credentials)
        except Unauthorized:
            return False
        return True

    def note_refusal(self, request: web.BaseRequest, cause: str, given: str = "") -> None:
        """`given` is the caller's text that was refused, and no secret."""
        fields = {"given": ascii(given[:LONGEST])[1:-1]} if given else {}
        self._lines.warn(cause=cause, address=request.remote, path=raw_path(request), **fields)
