"""`/api/conversations`: create, list, look at, rename, start, stop, delete."""

from contextlib import suppress
from typing import Any

import orjson
from aiohttp import web

from openhands_sessions.core.errors import BadInput, NotAccepting, NotFound, TooLarge
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import ConversationId, EventId, conversation_id, id_by_key
from openhands_sessions.ports.conversations import ConversationFilter
from openhands_sessions.ports.gateway import SessionSpec
from openhands_sessions.protocol import parameters
from openhands_sessions.protocol.conversations import (
    TRIGGERS,
    ConversationOut,
    ConversationsOut,
    CreateIn,
    RenameIn,
    StartedOut,
    StartIn,
    Status,
    conversation_status,
)
from openhands_sessions.protocol.forks import ForkedOut, ForkIn
from openhands_sessions.protocol.lists import ReadIn, ReadOut
from openhands_sessions.protocol.payloads import checked
from openhands_sessions.server.caller_rates import rates_of
from openhands_sessions.server.inbound import LIMITS, read_body, too_large
from openhands_sessions.server.middleware import error_response
from openhands_sessions.server.services import access, body, boolean, number, object_of, permitted, principal, services

ESCAPED = 3
"""By how much a trajectory may grow when it is written as a string of JSON."""
FORK_KEY = "fork"
"""Before the keys of forks, which are not those of creations."""
ATTEMPTS = 16
"""How many conversations may be created with one key, each after the one before it was deleted."""
READY_WITHIN = 0.25
"""Seconds that an answer waits for the session."""


async def create(request: web.Request) -> web.Response:
    rates_of(request).creates.take()
    asked = await _asked(request)
    if asked.key is None:
        return await _opened(request, asked.spec(ConversationId(services(request).new_id())))
    for attempt in range(ATTEMPTS):
        with suppress(NotFound):  # its conversation was deleted, and ids are not used again
            return await _opened(request, asked.spec(id_by_key(principal(request).owner, asked.key, attempt)))
    raise NotAccepting("all conversations that were created with this key were deleted; use another key")


async def page(request: web.Request) -> web.Response:
    return await _page(request, request.query.get("conversation_trigger") or None)


async def _page(request: web.Request, trigger: str | None) -> web.Response:
    limit = number(request, parameters.LIMIT)
    if trigger is not None and trigger not in TRIGGERS:
        raise BadInput("conversation_trigger", f"must be one of {', '.join(TRIGGERS)}")
    found = await access(request).conversations.page(
        limit=limit,
        page_id=request.query.get("page_id"),
        matching=ConversationFilter(
            repository=request.query.get("selected_repository") or None,
            trigger=trigger,
            search=request.query.get("search") or None,
            id_prefix=request.query.get("id_prefix") or None,
        ),
        count=boolean(request, parameters.COUNT),
    )
    results = [ConversationOut.of(info) for info in found.conversations]
    told = ConversationsOut(results=results, next_page_id=found.next_page)
    if found.total is not None:
        told = told.model_copy(update={"total": found.total})
    return web.json_response(told.wire())


async def managed(request: web.Request) -> web.Response:
    """Conversations that were begun on the page about microagents."""
    return await _page(request, "microagent_management")


async def describe(request: web.Request) -> web.Response:
    try:
        sid = await permitted(request)
    except NotFound:
        return web.json_response(None)
    return web.json_response(ConversationOut.of(await access(request).gateway.describe(sid)).wire())


async def start(request: web.Request) -> web.Response:
    try:
        sid = await permitted(request)
    except NotFound as error:
        return error_response(error, conversation_id=request.match_info["conversation_id"])
    await body(request, StartIn)
    return await _opened(request, SessionSpec(id=sid))


async def fork(request: web.Request) -> web.Response:
    sid = await permitted(request)
    rates_of(request).creates.take()
    asked = await body(request, ForkIn)
    if asked.conversation_id is not None:
        made = conversation_id(asked.conversation_id)
    elif asked.key is not None:
        made = id_by_key(principal(request).owner, f"{FORK_KEY}\0{sid}\0{asked.key}", 0)
    else:
        made = ConversationId(services(request).new_id())
    await access(request).conversations.fork(sid, asked.spec(made))
    return web.json_response(ForkedOut(conversation_id=made).wire(), status=201)


async def mark_read(request: web.Request) -> web.Response:
    sid = await permitted(request)
    rates_of(request).messages.take()
    given = await body(request, ReadIn)
    mark = await access(request).conversations.mark_read(sid, EventId(given.event_id))
    return web.json_response(ReadOut(event_id=mark).wire())


async def stop(request: web.Request) -> web.Response:
    text = request.match_info["conversation_id"]
    try:
        sid = await permitted(request)
    except NotFound:
        return web.json_response(_started(text, "STOPPED", "The conversation was not running."))
    info = await access(request).gateway.describe(sid)
    await access(request).gateway.close(sid, "stopped")
    running = info.state is not None
    told = "The conversation was stopped." if running else "The conversation was not running."
    return web.json_response(_started(sid, conversation_status(info.state), told))


async def rename(request: web.Request) -> web.Response:
    try:
        sid = await permitted(request)
    except NotFound as error:
        return error_response(error, msg_id="CONVERSATION$NOT_FOUND")
    asked = await body(request, RenameIn)
    await access(request).conversations.rename(sid, asked.title)
    return web.json_response(True)


async def delete(request: web.Request) -> web.Response:
    try:
        sid = await permitted(request)
    except NotFound:
        return web.json_response(False)
    return web.json_response(await access(request).conversations.delete(sid))


async def _asked(request: web.Request) -> CreateIn:
    """The body, which may hold a trajectory; without that it is no longer than any other. Raises BadInput, TooLarge,
    AtCapacity."""
    most, rest = services(request).trajectory_bytes, request.app[LIMITS].message_bytes
    raw = await read_body(request, ESCAPED * most + rest, limit=most)
    given = object_of(raw)
    asked = checked(CreateIn, given)
    if asked.replay_json is not None and len(asked.replay_json.encode()) > most:
        raise TooLarge(f"replay_json must not be larger than {most} bytes", most)
    if len(raw) > rest and _size({**given, "replay_json": None}) > rest:
        raise too_large(rest)
    return asked


def _size(given: dict[str, Any]) -> int:
    try:
        return len(orjson.dumps(given))
    except orjson.JSONEncodeError:
        raise BadInput("the body", "is nested too deeply") from None


async def _opened(request: web.Request, spec: SessionSpec) -> web.Response:
    """The V0 client looks at a conversation that is not ready only every 3 s: what is soon ready is waited for."""
    gateway = access(request).gateway
    await gateway.open(spec)
    await gateway.ready(spec.id, READY_WITHIN)
    info = await gateway.describe(spec.id)
    return web.json_response(_started(info.id, conversation_status(info.state)))


def _started(sid: str, status: Status, told: str | None = None) -> dict[str, Json]:
    return StartedOut(status="ok", conversation_id=sid, message=told, conversation_status=status).wire()
