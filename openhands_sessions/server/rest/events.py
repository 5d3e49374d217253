"""`/api/conversations/{id}/events` and `/trajectory`: the log as it is stored, spliced without decoding."""

import orjson
from aiohttp import web

from openhands_sessions.core.errors import BadInput
from openhands_sessions.server.middleware import NOT_KEPT, error_response
from openhands_sessions.server.services import number, owned, services
from openhands_sessions.server.wire_conversations import picked
from openhands_sessions.service.event_filter import EventFilter

MOST = 100
LARGEST_ID = 2**53


async def events(request: web.Request) -> web.Response:
    sid = await owned(request)
    try:
        limit = number(request, "limit", 20, least=1, most=MOST)
    except BadInput as error:
        return error_response(error, status=400)
    end = number(request, "end_id", -1, least=-1, most=LARGEST_ID)
    found, more = await services(request).history.events(
        sid,
        start=number(request, "start_id", 0, least=0, most=LARGEST_ID),
        end=None if end < 0 else end,
        reverse=request.query.get("reverse", "").lower() in ("true", "1"),
        limit=limit,
        matching=_filter(request),
    )
    listed = ",".join([entry.text for entry in found])
    text = f'{{"events":[{listed}],"has_more":{"true" if more else "false"}}}'
    return web.Response(text=text, content_type="application/json")


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
    await response.write(b'{"trajectory":[')
    first = True
    async for batch in services(request).history.trajectory(sid):
        if batch:
            text = ",".join([entry.text for entry in batch])
            await response.write((text if first else f",{text}").encode())
            first = False
    await response.write(b"]}")
    await response.write_eof()
    return response


ROUTES = (
    web.get("/api/conversations/{conversation_id}/events", events),
    web.get("/api/conversations/{conversation_id}/trajectory", trajectory),
)
