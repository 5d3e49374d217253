"""The trace that a request belongs to: what its `traceparent` header says."""

import re

from aiohttp import web
from aiohttp.typedefs import Handler

from openhands_sessions.ports.tracing import trace_parent

HEADER = "traceparent"
FORM = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@web.middleware
async def trace_context(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tell what serves the request of its trace. A websocket is one request: so are all commands that come by it."""
    given = request.headers.get(HEADER, "")
    token = trace_parent.set(given if FORM.fullmatch(given) else None)
    try:
        return await handler(request)
    finally:
        trace_parent.reset(token)
