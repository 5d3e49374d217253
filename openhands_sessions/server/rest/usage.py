"""`/api/usage`: what a user's model calls have used."""

from aiohttp import web

from openhands_sessions.core.ids import OwnerId
from openhands_sessions.protocol import parameters
from openhands_sessions.protocol.usage import UsageOut
from openhands_sessions.server.services import access, number


async def usage(request: web.Request) -> web.Response:
    user = request.query.get(parameters.USER.name)
    days = number(request, parameters.DAYS)
    found = await access(request).usage.report(None if user is None else OwnerId(user), days=days)
    return web.json_response(UsageOut.of(found).wire())
