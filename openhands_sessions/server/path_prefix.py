"""Serving below a path, such as `/agents`, where other servers share the host name."""

from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from openhands_sessions.core.errors import NotFound

BASE = web.RequestKey("base path", str)
"""Of a request below it. Its own path is what stands behind it: routes and checks know of no base path."""
_OUTSIDE = web.RequestKey("outside of the base path", bool)
RequestFactory = Callable[..., web.BaseRequest]


def base_of(request: web.BaseRequest) -> str:
    """What stands before the paths of routes as a browser sees them; empty where that is nothing."""
    base: str = request.get(BASE, "")
    return base


def below(base: str, make: RequestFactory) -> RequestFactory:
    """What makes the requests of a server that is reached below `base`, `/agents` or the like."""

    def make_request(message: Any, *rest: Any) -> web.BaseRequest:
        path = message.url.raw_path
        if path != base and not path.startswith(f"{base}/"):
            request = make(message, *rest)
            request[_OUTSIDE] = True
            return request
        url = message.url.with_path(path[len(base) :] or "/", encoded=True, keep_query=True)
        request = make(message._replace(url=url, path=url.raw_path_qs), *rest)
        request[BASE] = base
        return request

    return make_request


@web.middleware
async def inside(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what is asked outside of the base path. Raises NotFound."""
    if request.get(_OUTSIDE, False):
        raise NotFound("path below server.base_path", request.path[:128])
    return await handler(request)
