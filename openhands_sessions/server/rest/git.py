"""`/api/conversations/{id}/git/changes` and `/git/diff`: what has changed in the workspace's repository."""

from collections.abc import Mapping

from aiohttp import web
from aiohttp.typedefs import Handler

from openhands_sessions.core.errors import BadInput, PathRefused
from openhands_sessions.core.events.event import Json
from openhands_sessions.ports.runtime import Runtime
from openhands_sessions.protocol import routes
from openhands_sessions.server.services import owned, principal, services
from openhands_sessions.service.git import NoRepository, changes, diff

NONE = {"error": "Not a git repository"}


async def git_changes(request: web.Request) -> web.Response:
    runtime = await _runtime(request)
    try:
        told: list[Json] = [{"path": each.path, "status": each.status} for each in await changes(runtime)]
    except NoRepository:
        return web.json_response(NONE, status=404)
    return web.json_response(told)


async def git_diff(request: web.Request) -> web.Response:
    runtime = await _runtime(request)
    path = request.query.get("path", "")
    if not path:
        raise BadInput("path", "must name a file")
    try:
        found = await diff(runtime, path)
    except NoRepository:
        return web.json_response(NONE, status=404)
    except PathRefused as error:
        raise BadInput("path", f"is refused: {error.message}") from None
    return web.json_response({"original": found.original, "modified": found.modified})


async def _runtime(request: web.Request) -> Runtime:
    sid = await owned(request)
    return await services(request).files.runtime(principal(request).owner, sid)


HANDLERS: Mapping[routes.Route, Handler] = {
    routes.GIT_CHANGES: git_changes,
    routes.GIT_DIFF: git_diff,
}
