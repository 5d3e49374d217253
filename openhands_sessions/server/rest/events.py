"""`/api/conversations/{id}/events` and `/trajectory`: the log as it is stored, spliced without decoding."""

import orjson
from aiohttp import web

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.event_filter import EventFilter
from openhands_sessions.ports.conversations import EventRange
from openhands_sessions.protocol import parameters
from openhands_sessions.protocol.conversations import FilterIn
from openhands_sessions.protocol.payloads import checked
from openhands_sessions.server.compression import compress_stream
from openhands_sessions.server.middleware import NOT_KEPT, error_response
from openhands_sessions.server.services import access, boolean, number, permitted


async def events(request: web.Request) -> web.Response:
    sid = await permitted(request)
    try:
        limit = number(request, parameters.LIMIT)
    except BadInput as error:
        return error_response(error, status=400)
    found, more = await access(request).conversations.events(sid, _range(request, limit))
    listed = ",".join([entry.text for entry in found])
    text = f'{{"events":[{listed}],"has_more":{"true" if more else "false"}}}'
    return web.Response(text=text, content_type="application/json")


def _range(request: web.Request, limit: int) -> EventRange:
    end = number(request, parameters.END_ID)
    return EventRange(
        start=number(request, parameters.START_ID),
        end=None if end < 0 else end,
        reverse=boolean(request, parameters.REVERSE),
        limit=limit,
        matching=_filter(request),
    )


def _filter(request: web.Request) -> EventFilter | None:
    """Raises BadInput that names the field."""
    text = request.query.get(parameters.FILTER.name, "")
    if not text:
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadInput("filter", f"must be JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadInput("filter", "must be a JSON object")
    try:
        return checked(FilterIn, value).event_filter()
    except BadInput as error:
        raise BadInput(f"filter.{error.field}", error.message.removeprefix(f"{error.field} ")) from None


async def trajectory(request: web.Request) -> web.StreamResponse:
    sid = await permitted(request)
    response = web.StreamResponse(
        headers={"Content-Type": "application/json; charset=utf-8", "Cache-Control": NOT_KEPT}
    )
    compress_stream(request, response)
    await response.prepare(request)
    async for chunk in access(request).conversations.export(sid):
        await response.write(chunk)
    await response.write_eof()
    return response
