"""Who may read the metrics without being an operator."""

from collections.abc import Iterable
from hmac import compare_digest

from aiohttp import web

from openhands_sessions.server.credentials import credentials_of
from openhands_sessions.server.forwarding import TrustedProxies, address_of
from openhands_sessions.server.guarded_connection import CONNECTION
from openhands_sessions.server.identification import Identification


class Scrapers:
    """Programs that show `key`, and those at the addresses or in the networks of `allow`."""

    def __init__(self, key: str | None, allow: Iterable[str], callers: Identification) -> None:
        self._key = None if key is None else key.encode()
        self._allow = TrustedProxies(allow)
        self._callers = callers

    def admit(self, request: web.Request) -> bool:
        """Whether this one may. Raises RateLimited for an address that has shown too many wrong keys."""
        admitted = address_of(request) in self._allow or self._shows_key(request)
        if admitted and (connection := request.get(CONNECTION)) is not None:
            connection.let_in()
        return admitted

    def _shows_key(self, request: web.Request) -> bool:
        credentials = credentials_of(request)
        if self._key is None or not credentials.key or credentials.by_cookie:
            return False
        self._callers.check_rate(request, credentials)
        right = compare_digest(credentials.key.encode("utf-8", "surrogatepass"), self._key)
        if right:
            self._callers.note_right(credentials)
        return right
