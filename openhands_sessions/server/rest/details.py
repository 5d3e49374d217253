"""What the web client asks of one conversation besides its log and its files."""

from aiohttp import web
from aiohttp.typedefs import Handler

from openhands_sessions.core.commands import SendMessage
from openhands_sessions.core.events.event import Json
from openhands_sessions.protocol import routes
from openhands_sessions.protocol.commands import command_of
from openhands_sessions.protocol.conversations import FeedbackIn, FeedbackOut, SayIn
from openhands_sessions.protocol.workspaces import MicroagentOut, MicroagentsOut
from openhands_sessions.server.caller_rates import rates_of
from openhands_sessions.server.services import access, body, mapping, number, owned, principal, services


async def config(request: web.Request) -> web.Response:
    sid = await owned(request)
    return web.json_response({"runtime_id": None, "session_id": sid})


def of_any(found: Json) -> Handler:
    """A handler with the same answer for each of the caller's conversations."""

    async def answer(request: web.Request) -> web.Response:
        await owned(request)
        return web.json_response(found)

    return answer


async def microagents(request: web.Request) -> web.Response:
    """What the workspace says now, which may be more than the conversation was told at its beginning."""
    sid = await owned(request)
    found = await access(request).workspaces.microagents(sid)
    listed = [MicroagentOut.of(microagent) for microagent in found]
    return web.json_response(MicroagentsOut(microagents=listed).wire())


async def remember_prompt(request: web.Request) -> web.Response:
    sid = await owned(request)
    event = number(request, routes.EVENT_ID)
    prompt = await access(request).conversations.remember_prompt(sid, event)
    return web.json_response({"status": "success", "prompt": prompt})


async def feedback(request: web.Request) -> web.Response:
    sid = await owned(request)
    given = await body(request, FeedbackIn)
    stored, made = await services(request).feedback.put(principal(request).owner, sid, given.model_dump())
    return web.json_response(FeedbackOut.of(stored, made).wire())


async def add_event(request: web.Request) -> web.Response:
    sid = await owned(request)
    rates_of(request).messages.take()
    command, key = command_of(await mapping(request))
    await access(request).gateway.submit(sid, command, key=key)
    return web.json_response({"success": True})


async def say(request: web.Request) -> web.Response:
    sid = await owned(request)
    rates_of(request).messages.take()
    given = await body(request, SayIn)
    await access(request).gateway.submit(sid, SendMessage(content=given.message))
    return web.json_response({"success": True})
