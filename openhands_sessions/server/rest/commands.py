"""`/api/conversations/{id}/events`, `/message`, `/messages`, `/model` and `/budget`: what a session is told to do."""

from aiohttp import web

from openhands_sessions.core.commands import SendMessage, SetModel
from openhands_sessions.protocol import parameters
from openhands_sessions.protocol.budgets import BudgetIn, BudgetSetOut
from openhands_sessions.protocol.commands import AcceptedOut, ModelIn, ModelOut, SayIn, SendIn, command_of
from openhands_sessions.server.caller_rates import rates_of
from openhands_sessions.server.rest.event_stream import turn_stream
from openhands_sessions.server.services import access, body, boolean, mapping, permitted


async def add_event(request: web.Request) -> web.Response:
    sid = await permitted(request)
    rates_of(request).messages.take()
    command, key = command_of(await mapping(request))
    accepted = await access(request).gateway.submit(sid, command, key=key)
    return web.json_response(AcceptedOut.of(accepted).wire())


async def say(request: web.Request) -> web.Response:
    sid = await permitted(request)
    rates_of(request).messages.take()
    given = await body(request, SayIn)
    accepted = await access(request).gateway.submit(sid, SendMessage(content=given.message))
    return web.json_response(AcceptedOut.of(accepted).wire())


async def set_model(request: web.Request) -> web.Response:
    sid = await permitted(request)
    rates_of(request).messages.take()
    given = await body(request, ModelIn)
    accepted = await access(request).gateway.submit(sid, SetModel(given.model), key=given.key)
    return web.json_response(ModelOut(id=accepted.id, model=given.model).wire())


async def set_budget(request: web.Request) -> web.Response:
    sid = await permitted(request)
    rates_of(request).messages.take()
    given = await body(request, BudgetIn)
    accepted = await access(request).gateway.submit(sid, given.command(), key=given.key)
    return web.json_response(BudgetSetOut(id=accepted.id, dollars=given.dollars).wire())


async def send_message(request: web.Request) -> web.StreamResponse:
    """Answered once it is accepted, or with the events of its turn."""
    sid = await permitted(request)
    rates_of(request).messages.take()
    given = await body(request, SendIn)
    accepted = await access(request).gateway.submit(sid, given.command(), key=given.key)
    if boolean(request, parameters.STREAM):
        return await turn_stream(request, sid, accepted)
    return web.json_response(AcceptedOut.of(accepted).wire())
