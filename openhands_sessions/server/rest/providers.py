"""`/api/user`: what git providers know of the user. None is asked: without a token the answer is 401, with one it is
empty."""

from collections.abc import Mapping

from aiohttp import web
from aiohttp.typedefs import Handler

from openhands_sessions.core.events.event import Json
from openhands_sessions.protocol import routes
from openhands_sessions.server.services import principal, services

NEEDED = "Git provider token required. (such as GitHub)."
NONE_SET = "No providers set."
NOBODY: dict[str, Json] = {
    "id": "",
    "login": "",
    "avatar_url": "",
    **dict.fromkeys(("company", "name", "email")),
}
NO_BRANCHES: dict[str, Json] = {
    "branches": [],
    "has_next_page": False,
    "current_page": 1,
    "per_page": 30,
    "total_count": 0,
}


def _answering(found: Json, without: str = NEEDED, status: int = 200) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        if not await services(request).secrets.providers(principal(request).owner):
            return web.json_response(without, status=401)
        return web.json_response(found, status=status)

    return answer


HANDLERS: Mapping[routes.Route, Handler] = {
    routes.USER_INFO: _answering(NOBODY),
    routes.USER_REPOSITORIES: _answering([]),
    routes.SEARCH_REPOSITORIES: _answering([]),
    routes.SEARCH_BRANCHES: _answering([]),
    routes.REPOSITORY_BRANCHES: _answering(NO_BRANCHES),
    routes.INSTALLATIONS: _answering([]),
    routes.SUGGESTED_TASKS: _answering([], NONE_SET),
    routes.REPOSITORY_MICROAGENTS: _answering([]),
    routes.REPOSITORY_MICROAGENT: _answering({"detail": "Not Found"}, status=404),
}
