"""`/api/conversations`: create, list, look at, rename, start, stop, delete."""

from typing import Any

import orjson
from aiohttp import web

from openhands_sessions.core.errors import BadInput, NotFound, TooLarge
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.gateway import SessionSpec
from openhands_sessions.ports.store import RowFilter
from openhands_sessions.server.services import body, mapping, number, owned, principal, services
from openhands_sessions.server.wire import RenameIn, StartIn, checked, conversation_status, conversation_wire
from openhands_sessions.server.wire_conversations import CreateIn

ESCAPED = 3
"""By how much a trajectory may grow when it is written as a string of JSON."""
READY_WITHIN = 0.25
"""Seconds that an answer waits for the session."""
TRIGGERS = (
    *("gui", "suggested_task", "resolver", "openhands_api", "slack", "microagent_management"),
    *("jira", "jira_dc", "linear", "bitbucket"),
)


async def create(request: web.Request) -> web.Response:
    asked = await _asked(request)
    spec = asked.spec(ConversationId(services(request).new_id()), principal(request).owner)
    return await _opened(request, spec)


async def page(request: web.Request) -> web.Response:
    return await _page(request, request.query.get("conversation_trigger") or None)


async def _page(request: web.Request, trigger: str | None) -> web.Response:
    limit = number(request, "limit", 20, least=1, most=100)
    if trigger is not None and trigger not in TRIGGERS:
        raise BadInput("conversation_trigger", f"must be one of {', '.join(TRIGGERS)}")
    found = await services(request).history.page(
        principal(request).owner,
        limit=limit,
        page_id=request.query.get("page_id"),
        matching=RowFilter(repository=request.query.get("selected_repository") or None, trigger=trigger),
    )
    results: list[Json] = [conversation_wire(info) for info in found.conversations]
    return web.json_response({"results": results, "next_page_id": found.next_page})


async def managed(request: web.Request) -> web.Response:
    """Conversations that were begun on the page about microagents."""
    return await _page(request, "microagent_management")


async def describe(request: web.Request) -> web.Response:
    try:
        sid = await owned(request)
    except NotFound:
        return web.json_response(None)
    return web.json_response(conversation_wire(await services(request).gateway.describe(sid)))


async def start(request: web.Request) -> web.Response:
    await body(request, StartIn)
    try:
        sid = await owned(request)
    except NotFound:
        unknown = {"status": "error", "conversation_id": request.match_info["conversation_id"]}
        return web.json_response(unknown, status=404)
    return await _opened(request, SessionSpec(id=sid, owner=principal(request).owner))


async def stop(request: web.Request) -> web.Response:
    text = request.match_info["conversation_id"]
    try:
        sid = await owned(request)
    except NotFound:
        return web.json_response(_stopped(text, "The conversation was not running.", "STOPPED"))
    info = await services(request).gateway.describe(sid)
    await services(request).gateway.close(sid, "stopped")
    running = info.state is not None
    told = "The conversation was stopped." if running else "The conversation was not running."
    return web.json_response(_stopped(sid, told, conversation_status(info.state)))


async def rename(request: web.Request) -> web.Response:
    asked = await body(request, RenameIn)
    try:
        sid = await owned(request)
    except NotFound:
        unknown = {"status": "error", "message": "Conversation not found", "msg_id": "CONVERSATION$NOT_FOUND"}
        return web.json_response(unknown, status=404)
    title = await services(request).history.rename(principal(request).owner, sid, asked.title)
    services(request).gateway.retitled(sid, title)
    return web.json_response(True)


async def delete(request: web.Request) -> web.Response:
    try:
        sid = await owned(request)
    except NotFound:
        return web.json_response(False)
    return web.json_response(await services(request).history.delete(principal(request).owner, sid))


async def _asked(request: web.Request) -> CreateIn:
    """The body, which may hold a trajectory; without that it is no longer than any other. Raises BadInput, TooLarge."""
    most, rest = services(request).trajectory_bytes, request.client_max_size
    too_large = TooLarge(f"replay_json must not be larger than {most} bytes")
    whole = request.clone(client_max_size=ESCAPED * most + rest)
    try:
        given = await mapping(whole)
    except web.HTTPRequestEntityTooLarge:
        raise too_large from None
    asked = checked(CreateIn, given)
    if asked.replay_json is not None and len(asked.replay_json.encode()) > most:
        raise too_large
    if len(await whole.read()) > rest and _size({**given, "replay_json": None}) > rest:
        raise TooLarge(f"the body must not be larger than {rest} bytes, but for replay_json")
    return asked


def _size(given: dict[str, Any]) -> int:
    try:
        return len(orjson.dumps(given))
    except orjson.JSONEncodeError:
        raise BadInput("the body", "is nested too deeply") from None


async def _opened(request: web.Request, spec: SessionSpec) -> web.Response:
    """The V0 client looks at a conversation that is not ready only every 3 s: what is soon ready is waited for."""
    gateway = services(request).gateway
    await gateway.open(spec)
    await gateway.ready(spec.id, READY_WITHIN)
    info = await gateway.describe(spec.id)
    return web.json_response(_started(info.id, conversation_status(info.state)))


def _started(sid: str, status: str) -> dict[str, Json]:
    return {"status": "ok", "conversation_id": sid, "message": None, "conversation_status": status}


def _stopped(sid: str, told: str, status: str) -> dict[str, Json]:
    return {"status": "ok", "conversation_id": sid, "message": told, "conversation_status": status}


ROUTES = (
    web.post("/api/conversations", create),
    web.get("/api/conversations", page),
    web.get("/api/microagent-management/conversations", managed),
    web.get("/api/conversations/{conversation_id}", describe),
    web.patch("/api/conversations/{conversation_id}", rename),
    web.delete("/api/conversations/{conversation_id}", delete),
    web.post("/api/conversations/{conversation_id}/start", start),
    web.post("/api/conversations/{conversation_id}/stop", stop),
)
