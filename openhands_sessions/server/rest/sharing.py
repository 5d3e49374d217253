"""`/api/conversations/{id}/shares` and `/links`: whom the conversation is shared with."""

from aiohttp import web

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.ids import OwnerId
from openhands_sessions.core.permissions import Permission
from openhands_sessions.protocol.shares import GrantIn, GrantOut, LinkIn, LinkOut, SharesOut
from openhands_sessions.server.services import access, body, permitted


async def shares(request: web.Request) -> web.Response:
    sid = await permitted(request)
    found = await access(request).sharing.shares(sid)
    watchers = (await access(request).gateway.describe(sid)).watchers
    return web.json_response(SharesOut.of(found, watchers).wire())


async def share(request: web.Request) -> web.Response:
    sid = await permitted(request)
    given = await body(request, GrantIn)
    made = await access(request).sharing.grant(sid, OwnerId(given.user), Permission(given.permission))
    return web.json_response(GrantOut.of(made).wire())


async def unshare(request: web.Request) -> web.Response:
    sid = await permitted(request)
    await access(request).sharing.revoke(sid, OwnerId(_named(request, "user")))
    return web.json_response(True)


async def make_link(request: web.Request) -> web.Response:
    sid = await permitted(request)
    given = await body(request, LinkIn)
    made = await access(request).sharing.new_link(sid, Permission(given.permission), given.hours * 3_600)
    return web.json_response(LinkOut.of_new(made).wire(), status=201)


async def revoke_link(request: web.Request) -> web.Response:
    sid = await permitted(request)
    await access(request).sharing.revoke_link(sid, _named(request, "link"))
    return web.json_response(True)


def _named(request: web.Request, parameter: str) -> str:
    """Raises BadInput where the query does not say it."""
    text = request.query.get(parameter, "")
    if not text:
        raise BadInput(parameter, f"must name a {parameter}")
    return text
