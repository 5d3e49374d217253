"""What the web client asks of one conversation besides its log and its files."""

from aiohttp import web
from aiohttp.typedefs import Handler

from openhands_sessions.core.events.event import Json
from openhands_sessions.protocol import parameters
from openhands_sessions.protocol.conversations import FeedbackIn, FeedbackOut
from openhands_sessions.protocol.workspaces import MicroagentOut, MicroagentsOut
from openhands_sessions.server.services import access, body, number, permitted, principal, services


async def config(request: web.Request) -> web.Response:
    sid = await permitted(request)
    return web.json_response({"runtime_id": None, "session_id": sid})


def of_any(found: Json) -> Handler:
    """A handler with the same answer for each of the caller's conversations."""

    async def answer(request: web.Request) -> web.Response:
        await permitted(request)
        return web.json_response(found)

    return answer


async def microagents(request: web.Request) -> web.Response:
    """What the workspace says now, which may be more than the conversation was told at its beginning."""
    sid = await permitted(request)
    found = await access(request).workspaces.microagents(sid)
    listed = [MicroagentOut.of(microagent) for microagent in found]
    return web.json_response(MicroagentsOut(microagents=listed).wire())


async def remember_prompt(request: web.Request) -> web.Response:
    sid = await permitted(request)
    event = number(request, parameters.EVENT_ID)
    prompt = await access(request).conversations.remember_prompt(sid, event)
    return web.json_response({"status": "success", "prompt": prompt})


async def feedback(request: web.Request) -> web.Response:
    sid = await permitted(request)
    given = await body(request, FeedbackIn)
    stored, made = await services(request).feedback.put(principal(request).owner, sid, given.model_dump())
    return web.json_response(FeedbackOut.of(stored, made).wire())
