"""What the web client asks of one conversation besides its log and its files."""

from collections.abc import Mapping

from aiohttp import web
from aiohttp.typedefs import Handler

from openhands_sessions.core.commands import SendMessage
from openhands_sessions.protocol import routes
from openhands_sessions.protocol.commands import command_of
from openhands_sessions.protocol.conversations import FeedbackIn, MicroagentOut, MicroagentsOut, SayIn
from openhands_sessions.server.services import access, body, mapping, number, owned, principal, services


async def config(request: web.Request) -> web.Response:
    sid = await owned(request)
    return web.json_response({"runtime_id": None, "session_id": sid})


async def vscode_url(request: web.Request) -> web.Response:
    """There is no editor in our sandboxes."""
    await owned(request)
    return web.json_response({"vscode_url": None})


async def web_hosts(request: web.Request) -> web.Response:
    """No port of a sandbox is reached from outside."""
    await owned(request)
    return web.json_response({"hosts": {}})


async def exp_config(request: web.Request) -> web.Response:
    await owned(request)
    return web.json_response(True)


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
    stored = await services(request).feedback.put(principal(request).owner, sid, given.model_dump())
    return web.json_response(stored)


async def add_event(request: web.Request) -> web.Response:
    sid = await owned(request)
    command, key = command_of(await mapping(request))
    await access(request).gateway.submit(sid, command, key=key)
    return web.json_response({"success": True})


async def say(request: web.Request) -> web.Response:
    sid = await owned(request)
    given = await body(request, SayIn)
    await access(request).gateway.submit(sid, SendMessage(content=given.message))
    return web.json_response({"success": True})


HANDLERS: Mapping[routes.Route, Handler] = {
    routes.RUNTIME_CONFIG: config,
    routes.VSCODE_URL: vscode_url,
    routes.WEB_HOSTS: web_hosts,
    routes.LIST_MICROAGENTS: microagents,
    routes.REMEMBER_PROMPT: remember_prompt,
    routes.EXPERIMENT_CONFIG: exp_config,
    routes.SUBMIT_FEEDBACK: feedback,
    routes.SEND_COMMAND: add_event,
    routes.SAY: say,
}
