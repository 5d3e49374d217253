"""`/api/conversations/{id}/events` and `/trajectory`: the log as it is stored, spliced without decoding."""

import orjson
from aiohttp import web

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.event_filter import EventFilter
from openhands_sessions.ports.conversations import EventRange
from openhands_sessions.server.middleware import NOT_KEPT, error_response
from openhands_sessions.server.services import access, number, owned
from openhands_sessions.server.wire_conversations import picked

MOST = 100
LARGEST_ID = 2**53


async def events(request: web.Request) -> web.Response:
    sid = await owned(request)
    try:
        limit = number(request, "limit", 20, least=1, most=MOST)
    except BadInput as error:
        return error_response(error, status=400)
    found, more = await access(request).conversations.events(sid, _range(request, limit))
    listed = ",".join([entry.text for entry in found])
    text = f'{{"events":[{listed}],"has_more":{"true" if more else "false"}}}'
    return web.Response(text=text, content_type="application/json")


def _range(request: web.Request, limit: int) -> EventRange:
    end = number(request, "end_id", -1, least=-1, most=LARGEST_ID)
    return EventRange(
        start=number(request, "start_id", 0, least=0, most=LARGEST_ID),
        end=None if end < 0 else end,
        reverse=request.query.get("reverse", "").lower() in ("true", "1"),
        limit=limit,
        matching=_filter(request),
    )


def _filter(request: web.Request) -> EventFilter | None:
    text = request.query.get("filter", "")
    if not text:
        return None
    try:
        return picked(orjson.loads(text))
    except orjson.JSONDecodeError as error:
        raise BadInput("filter", f"must be JSON: {error}") from None


async def trajectory(request: web.Request) -> web.StreamResponse:
    sid = await owned(request)
    response = web.StreamResponse(
        headers={"Content-Type": "application/json; charset=utf-8", "Cache-Control": NOT_KEPT}
    )
    await response.prepare(request)
    await response.write(b'{"trajectory":')
    async for chunk in access(request).conversations.export(sid):
        await response.write(chunk)
    await response.write(b"}")
    await response.write_eof()
    return response


ROUTES = (
    web.get("/api/conversations/{conversation_id}/events", events),
    web.get("/api/conversations/{conversation_id}/trajectory", trajectory),
)
