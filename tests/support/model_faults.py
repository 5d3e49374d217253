"""How the model server carries out a fault."""

import asyncio
import json
from typing import Any

from aiohttp import web

from tests.support.model_replies import Fault, FaultKind

_TICK = 0.02
"""Seconds between the pieces of an endless stream."""

_REFUSALS: dict[FaultKind, tuple[int, str, str, str]] = {
    FaultKind.UNAUTHORIZED: (401, "invalid_api_key", "invalid_request_error", "Incorrect API key provided: {key}."),
    FaultKind.FORBIDDEN: (403, "forbidden", "invalid_request_error", "This key may not use the model."),
    FaultKind.NOT_FOUND: (404, "model_not_found", "invalid_request_error", "The model does not exist."),
    FaultKind.NO_CREDITS: (402, "payment_required", "billing_error", "Your balance is 0."),
    FaultKind.NO_QUOTA: (
        429,
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    FaultKind.RATE_LIMIT: (429, "rate_limit_exceeded", "requests", "Rate limit reached for requests."),
    FaultKind.SERVER_ERROR: (500, "internal_error", "server_error", "The server had an error."),
    FaultKind.UNAVAILABLE: (503, "overloaded", "server_error", "The engine is currently overloaded."),
    FaultKind.CONTENT_POLICY: (
        400,
        "content_policy_violation",
        "invalid_request_error",
        "Your request was rejected as a result of our safety system.",
    ),
    FaultKind.BAD_REQUEST: (400, "bad_request", "invalid_request_error", "FAULT-MARK bad request"),
}


async def commit(fault: Fault, request: web.Request, opening: list[dict[str, Any]]) -> web.StreamResponse:
    """Answer with a fault. `opening` holds the chunks that go out before a stream breaks."""
    if fault.kind in _REFUSALS:
        return _refuse(fault, request)
    match fault.kind:
        case FaultKind.SILENCE:
            await asyncio.Event().wait()
        case FaultKind.GARBAGE:
            return await _send(request, [b"data: <html>it's not JSON</html>\n\n"])
        case FaultKind.STREAM_ERROR:
            error = {"error": {"message": fault.message or "The engine fell over.", "type": "server_error"}}
            return await _send(request, [*map(sse, opening), sse(error)])
        case FaultKind.ENDS_EARLY:
            return await _send(request, list(map(sse, opening)))
        case FaultKind.CUT:
            await _send(request, list(map(sse, opening)), end=False)
            await asyncio.sleep(_TICK)  # a client drops what it has not read when the connection breaks
            if request.transport is not None:
                request.transport.close()
        case FaultKind.ENDLESS:
            response = await _send(request, list(map(sse, opening)), end=False)
            while True:
                await asyncio.sleep(_TICK)
                await response.write(sse(opening[-1]))
    return web.Response()


def sse(payload: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(payload).encode() + b"\n\n"


async def begin_stream(request: web.Request) -> web.StreamResponse:
    """Send the head of an event stream."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    return response


def _refuse(fault: Fault, request: web.Request) -> web.Response:
    status, code, kind, message = _REFUSALS[fault.kind]
    key = request.headers.get("Authorization", "").removeprefix("Bearer ")
    headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
    said = (fault.message or message).replace("{key}", key)
    error = {"message": said, "type": kind, "param": None, "code": code}
    return web.json_response({"error": error}, status=status, headers=headers)


async def _send(request: web.Request, events: list[bytes], *, end: bool = True) -> web.StreamResponse:
    response = await begin_stream(request)
    for event in events:
        await response.write(event)
    if end:
        await response.write_eof()
    return response
