"""`/api/conversations/{id}/history`: the turns of the dialogue, and what moves it."""

from aiohttp import web

from openhands_sessions.core.ids import EventId, conversation_id
from openhands_sessions.protocol import parameters
from openhands_sessions.protocol.commands import history_command_of
from openhands_sessions.protocol.forks import DiffHistoryOut
from openhands_sessions.protocol.history_answers import HistoryChangedOut, HistoryOut
from openhands_sessions.server.caller_rates import rates_of
from openhands_sessions.server.services import access, mapping, number, permitted


async def read(request: web.Request) -> web.Response:
    sid = await permitted(request)
    limit, before = number(request, parameters.TURNS), EventId(number(request, parameters.BEFORE))
    history = await access(request).conversations.history(sid, limit=limit, before=before)
    return web.json_response(HistoryOut.of(history).wire())


async def change(request: web.Request) -> web.Response:
    sid = await permitted(request)
    rates_of(request).messages.take()
    command, key = history_command_of(await mapping(request))
    accepted = await access(request).gateway.submit(sid, command, key=key)
    done = await access(request).conversations.history_change(sid, accepted.id)
    return web.json_response(HistoryChangedOut.of(done).wire())


async def diff(request: web.Request) -> web.Response:
    sid = await permitted(request)
    rates_of(request).messages.take()
    other, branch = request.query.get("conversation"), request.query.get("branch")
    beside = conversation_id(other) if other else None
    found = await access(request).conversations.diff(sid, beside, branch or None)
    return web.json_response(DiffHistoryOut.of(found).wire())
