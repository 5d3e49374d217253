"""`/api/user`: what git providers know of the user. None is asked: without a token the answer is 401, with one it is
empty."""

from aiohttp import web
from aiohttp.typedefs import Handler

from openhands_sessions.core.events.event import Json
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


ROUTES = (
    web.get("/api/user/info", _answering(NOBODY)),
    web.get("/api/user/repositories", _answering([])),
    web.get("/api/user/search/repositories", _answering([])),
    web.get("/api/user/search/branches", _answering([])),
    web.get("/api/user/repository/branches", _answering(NO_BRANCHES)),
    web.get("/api/user/installations", _answering([])),
    web.get("/api/user/suggested-tasks", _answering([], NONE_SET)),
    # A name has as many parts as its provider gives it.
    web.get("/api/user/repository/{name:(?s:.+)}/microagents", _answering([])),
    web.get("/api/user/repository/{name:(?s:.+)}/microagents/content", _answering({"detail": "Not Found"}, status=404)),
)
