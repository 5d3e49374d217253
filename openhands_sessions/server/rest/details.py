"""What the web client asks of one conversation besides its log and its files."""

from aiohttp import web

from openhands_sessions.core.commands import SendMessage
from openhands_sessions.core.events.event import Json
from openhands_sessions.server.services import access, body, mapping, number, owned, principal, services
from openhands_sessions.server.wire import command_of
from openhands_sessions.server.wire_conversations import FeedbackIn, SayIn, microagent_wire

LARGEST_ID = 2**53


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
    listed: list[Json] = [microagent_wire(microagent) for microagent in found]
    return web.json_response({"microagents": listed})


async def remember_prompt(request: web.Request) -> web.Response:
    sid = await owned(request)
    event = number(request, "event_id", LARGEST_ID, least=0, most=LARGEST_ID)
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


def _below(path: str) -> str:
    return f"/api/conversations/{{conversation_id}}/{path}"


ROUTES = (
    web.get(_below("config"), config),
    web.get(_below("vscode-url"), vscode_url),
    web.get(_below("web-hosts"), web_hosts),
    web.get(_below("microagents"), microagents),
    web.get(_below("remember-prompt"), remember_prompt),
    web.post(_below("exp-config"), exp_config),
    web.post(_below("submit-feedback"), feedback),
    web.post(_below("events"), add_event),
    web.post(_below("message"), say),
)
