"""One line for each answer: `log.access`."""

import structlog
from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from openhands_sessions.server.identification import PRINCIPAL, raw_path

log = structlog.get_logger(__name__)


class AccessLog(AbstractAccessLogger):
    """A websocket's line is written at its end. `principal` is null for those who need not say who they are, and for
    those who were refused."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """`time` is in seconds."""
        principal = request.get(PRINCIPAL)
        log.info(
            "request",
            method=request.method,
            path=raw_path(request),
            status=response.status,
            ms=round(time * 1000, 1),
            principal=None if principal is None else principal.owner,
        )
