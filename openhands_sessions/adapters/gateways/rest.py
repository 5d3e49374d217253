"""Another server's REST interface: every call has a time limit, every refusal is one of our errors."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from openhands_sessions.adapters.gateways.reading import UnreadableMessage
from openhands_sessions.core.errors import BadInput, SessionsError, Unreachable
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.protocol.errors import CODE_OF_STATUS, error_of
from openhands_sessions.protocol.payloads import Message
from openhands_sessions.protocol.route import Route

CONNECT_SECONDS = 10.0
LIMITS = aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=20.0)
"""Of one request, in seconds: no total, for an export may be long, but for silence in the middle of an answer."""


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a server is: `origin` is scheme, host and port, `path` what stands before `/api` and `/socket.io`."""

    origin: str
    path: str = ""

    @classmethod
    def of(cls, url: str) -> "ServerAddress":
        """Raises BadInput for what is no http or https address."""
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            if parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1) > 0:
                return cls(f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/"))
        except ValueError:
            pass
        raise BadInput("the server's address", f"must be like http://127.0.0.1:3000, not {url[:200]!r}")

    @property
    def url(self) -> str:
        return f"{self.origin}{self.path}"


class RestClient:
    """Calls to one server. `session` belongs to the hand that gives it."""

    def __init__(self, session: aiohttp.ClientSession, address: ServerAddress) -> None:
        self._session = session
        self._address = address

    async def call(
        self,
        route: Route,
        sid: ConversationId | None = None,
        *,
        body: Message | aiohttp.FormData | None = None,
        query: Mapping[str, str | int] | None = None,
    ) -> Any:
        """The JSON of the answer. Raises what the server refuses with, and Unreachable."""
        async with self.answer(route, sid, body=body, query=query) as response:
            content = await response.read()
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError:
            raise UnreadableMessage("an answer") from None

    @asynccontextmanager
    async def answer(
        self,
        route: Route,
        sid: ConversationId | None = None,
        *,
        body: Message | aiohttp.FormData | None = None,
        query: Mapping[str, str | int] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A good answer, not yet read. Raises as `call` does, also while it is read."""
        url = f"{self._address.url}{route.path.format(conversation_id=sid)}"
        sent = orjson.dumps(body.wire()) if isinstance(body, Message) else body
        headers = {"Content-Type": "application/json"} if isinstance(body, Message) else {}
        try:
            async with self._session.request(route.method, url, data=sent, params=query, headers=headers) as response:
                if response.status >= 400:
                    raise _refused(response.status, await response.read())
                yield response
        except TimeoutError as error:
            raise Unreachable(f"the server at {self._address.url} does not answer in time") from error
        except aiohttp.ClientError as error:
            raise Unreachable(f"the server at {self._address.url} cannot be reached: {_reason(error)}") from error


def _refused(status: int, content: bytes) -> SessionsError:
    try:
        told = orjson.loads(content)
    except orjson.JSONDecodeError:
        told = None
    if not isinstance(told, dict):
        return UnreadableMessage(f"status {status} with an answer")
    message = told.get("error") or f"the server refuses with status {status}"
    return error_of({"code": CODE_OF_STATUS.get(status), "message": message} | told)


def _reason(error: aiohttp.ClientError) -> str:
    if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.strerror:
        return error.os_error.strerror
    return str(error) or type(error).__name__


def http_session(session_api_key: str | None) -> aiohttp.ClientSession:
    """What the requests and sockets of one key's owner share."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        headers={} if session_api_key is None else {"X-Session-API-Key": session_api_key},
        timeout=LIMITS,
        cookie_jar=aiohttp.DummyCookieJar(),
    )
