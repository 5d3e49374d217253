"""HTTP to MCP servers: a failure of a call stays that call's, and answers are bounded."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import httpx2
from mcp import types

from openhands_sessions.adapters.mcp.answers import TOO_LONG, UNREADABLE
from openhands_sessions.adapters.mcp.attempts import ATTEMPT, CallAttempt, CallFault, FaultKind, note_sending
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.json_text import read_json
from openhands_sessions.ports.programs import LONGEST_LINE

LOST = "was lost"
_CONNECT_SECONDS = 30.0
_READ_SECONDS = 300.0
_LONGEST_PROBLEM = 64 << 10
_SHOWN = 500
_NO_SESSION = re.compile("session|initiali[sz]", re.IGNORECASE)


Headers = Callable[[], Mapping[str, str]]


class AnswerTooLong(httpx2.TransportError):
    """A body over the limit; what follows of it is not read."""


class McpHttpClient(httpx2.AsyncClient):
    """A client for the SDK's transport, which would end all calls with the failure of one: calls that fail are answered
    with an error here, and the fault is noted in the attempt."""

    def __init__(self, headers: Headers) -> None:
        """`headers` are asked for anew for each request."""
        timeout = httpx2.Timeout(_CONNECT_SECONDS, read=_READ_SECONDS)
        super().__init__(headers={**headers(), "Accept-Encoding": "identity"}, timeout=timeout)
        self._current = headers

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        request.headers.update(
            {name: value for name, value in self._current().items() if name in request.headers}
        )  # only where the client has put one: not for another address
        message = _message(request)
        if message is None:
            return await super().send(request, **options)
        attempt = ATTEMPT.get()
        if "id" not in message or "method" not in message:
            return await self._notify(request, options)
        if attempt is None:
            return await self._whole(request, options)
        try:
            return await self._call(request, options, attempt)
        except CallFault as fault:
            attempt.fault = fault
            return _answer(request, message["id"], fault.words)

    async def _notify(self, request: httpx2.Request, options: Mapping[str, Any]) -> httpx2.Response:
        """A notification: no caller learns that it could not be sent."""
        try:
            return await super().send(request, **options)
        except httpx2.TransportError:
            return httpx2.Response(202, request=request)

    async def _whole(self, request: httpx2.Request, options: Mapping[str, Any]) -> httpx2.Response:
        """The response to a greeting. Raises HTTPStatusError."""
        response = await super().send(request, **options)
        if response.is_error:
            await response.aclose()
            response.raise_for_status()
        if not _is_kind(response, "application/json"):
            return response
        content = await body(response, LONGEST_LINE)
        return httpx2.Response(
            response.status_code, headers=_without_length(response.headers), content=content, request=request
        )

    async def _call(self, request: httpx2.Request, options: Mapping[str, Any], attempt: CallAttempt) -> httpx2.Response:
        """The response to a call, where it can be one. Raises CallFault."""
        watch(request)
        attempt.sent = False
        try:
            response = await super().send(request, **options)
            if response.is_redirect:
                return response
            if not response.is_success:
                raise fault_of(response, await body(response, _LONGEST_PROBLEM))
            if _is_kind(response, "text/event-stream"):
                return response
            content = await body(response, LONGEST_LINE)
        except AnswerTooLong:
            raise CallFault(FaultKind.UNKNOWN, TOO_LONG) from None
        except httpx2.TransportError as error:
            raise lost(attempt, error) from error
        if response.status_code == httpx2.codes.ACCEPTED or not _is_kind(response, "application/json"):
            raise CallFault(FaultKind.UNKNOWN, UNREADABLE)
        return httpx2.Response(200, headers={"Content-Type": "application/json"}, content=content, request=request)


def watch(request: httpx2.Request) -> None:
    """Have the attempt of the running code know when the request is being sent."""

    async def heard(event: str, info: Mapping[str, object]) -> None:
        if event.endswith("send_request_headers.started"):
            note_sending()

    request.extensions = {**request.extensions, "trace": heard}


def lost(attempt: CallAttempt | None, error: httpx2.TransportError) -> CallFault:
    """The fault of a call that failed on the way."""
    if attempt is None or attempt.sent:
        return CallFault(FaultKind.UNKNOWN, LOST)
    return CallFault(FaultKind.UNSENT, f"cannot be reached ({type(error).__name__})")


def fault_of(response: httpx2.Response, content: bytes) -> CallFault:
    """The fault of a call that was answered with an error of HTTP."""
    status, error = response.status_code, _error_in(content)
    words = str(error.get("message", "")) or content.decode("utf-8", "replace")
    if _forgotten(response, error, words):
        return CallFault(FaultKind.UNSENT, "does not know the session")
    if status >= httpx2.codes.INTERNAL_SERVER_ERROR and not error:
        return CallFault(FaultKind.UNKNOWN, f"answered with HTTP status {status}")
    told = f": {words[:_SHOWN]}" if error else ""
    return CallFault(FaultKind.REFUSED, f"answered with HTTP status {status}{told}")


def _forgotten(response: httpx2.Response, error: Mapping[str, Json], words: str) -> bool:
    if error.get("code") == types.METHOD_NOT_FOUND:
        return False
    if response.status_code == httpx2.codes.NOT_FOUND and "mcp-session-id" in response.request.headers:
        return True
    refused = (httpx2.codes.BAD_REQUEST, httpx2.codes.NOT_FOUND, httpx2.codes.GONE)
    return response.status_code in refused and bool(_NO_SESSION.search(words))


def _error_in(content: bytes) -> Mapping[str, Json]:
    """The error of JSON-RPC in a body, if it holds one."""
    try:
        value = read_json(content)
    except ValueError:
        return {}
    error = value.get("error") if isinstance(value, dict) else None
    return error if isinstance(error, dict) else {}


async def body(response: httpx2.Response, limit: int) -> bytes:
    """The whole body. Raises AnswerTooLong."""
    content = bytearray()
    try:
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > limit:
                raise AnswerTooLong("the body is too long")
    finally:
        await response.aclose()
    return bytes(content)


def _answer(request: httpx2.Request, number: Json, words: str) -> httpx2.Response:
    error = {"code": types.CONNECTION_CLOSED, "message": words}
    return httpx2.Response(200, json={"jsonrpc": "2.0", "id": number, "error": error}, request=request)


def _message(request: httpx2.Request) -> dict[str, Json] | None:
    """The message that a request brings to the server."""
    if request.method != "POST":
        return None
    value = json.loads(request.content)
    return value if isinstance(value, dict) else None


def _is_kind(response: httpx2.Response, kind: str) -> bool:
    given: str = response.headers.get("content-type", "")
    return given.partition(";")[0].strip().lower() == kind


def _without_length(headers: httpx2.Headers) -> httpx2.Headers:
    """The headers of a body that is decoded already."""
    kept = httpx2.Headers(headers)
    for name in ("content-length", "content-encoding", "transfer-encoding"):
        kept.pop(name, None)
    return kept
