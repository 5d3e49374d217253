"""`/api/conversations/{id}/git/changes` and `/git/diff`: what has changed in the workspace's repository."""

from collections.abc import Mapping

from aiohttp import web
from aiohttp.typedefs import Handler

from openhands_sessions.core.errors import BadInput, PathRefused
from openhands_sessions.core.events.event import Json
from openhands_sessions.ports.workspaces import NoRepository
from openhands_sessions.protocol import routes
from openhands_sessions.server.services import access, owned

NONE = {"error": "Not a git repository"}


async def git_changes(request: web.Request) -> web.Response:
    sid = await owned(request)
    try:
        changes = await access(request).workspaces.changes(sid)
    except NoRepository:
        return web.json_response(NONE, status=404)
    listed: list[Json] = [{"path": each.path, "status": each.status} for each in changes]
    return web.json_response(listed)


async def git_diff(request: web.Request) -> web.Response:
    sid = await owned(request)
    path = request.query.get("path", "")
    if not path:
        raise BadInput("path", "must name a file")
    try:
        found = await access(request).workspaces.diff(sid, path)
    except NoRepository:
        return web.json_response(NONE, status=404)
    except PathRefused as error:
        raise BadInput("path", f"is refused: {error.message}") from None
    return web.json_response({"original": found.original, "modified": found.modified})


HANDLERS: Mapping[routes.Route, Handler] = {
    routes.GIT_CHANGES: git_changes,
    routes.GIT_DIFF: git_diff,
}
