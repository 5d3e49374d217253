"""What every HTTP request passes: where it comes from, who asks, and how errors are answered."""

import math
import re
from collections.abc import Callable
from urllib.parse import urlsplit

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from openhands_sessions.core.errors import (
    AtCapacity,
    BadInput,
    CallerError,
    Forbidden,
    ForeignHost,
    ForeignOrigin,
    LimitReached,
    MethodNotAllowed,
    NotFound,
    OwnedElsewhere,
    RateLimited,
    SessionsError,
    Unauthorized,
)
from openhands_sessions.protocol.errors import ErrorOut, http_status
from openhands_sessions.protocol.routes import ANYONE, OPERATORS
from openhands_sessions.protocol.server_routes import METRICS
from openhands_sessions.server.caller_rates import rates_of
from openhands_sessions.server.credentials import credentials_of
from openhands_sessions.server.forwarding import CALLER, TrustedProxies, caller_of
from openhands_sessions.server.guarded_connection import CONNECTION, connection_of
from openhands_sessions.server.identification import SOCKETS, Identification
from openhands_sessions.server.scrapers import Scrapers
from openhands_sessions.server.security_headers import preflight
from openhands_sessions.server.services import route_of
from openhands_sessions.server.static import ROUTE

log = structlog.get_logger(__name__)

HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?")
"""Without user information, which reads like another host's name."""
PREFLIGHT = "Access-Control-Request-Method"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
TOO_MANY = "too many connections of this address have not authenticated; try again in a moment"
NOT_KEPT = "no-cache, no-store, must-revalidate"
"""`Cache-Control` of every answer but the web client's own files; one that is streamed must say it itself."""


def error_response(error: SessionsError, /, status: int | None = None, **more: str) -> web.Response:
    """The answer to a failed request. The status is that of the error's class by default; `more` are fields of
    ErrorOut."""
    headers = {}
    if isinstance(error, RateLimited | LimitReached | AtCapacity) and error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if isinstance(error, OwnedElsewhere):
        headers["Retry-After"] = "1"
    told = ErrorOut.of(error, **more).wire()
    return web.json_response(told, status=status or http_status(type(error)), headers=headers)


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what a handler raises into an answer, and forbid caching."""
    try:
        response = await handler(request)
    except SessionsError as error:
        response = error_response(error)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        response = error_response(_error_of(request, error), error.status)
        response.headers.extend((name, value) for name, value in error.headers.items() if name == "Allow")
    except web.RequestPayloadError:
        request.content.feed_eof()  # aiohttp would read on, and meet the same again
        response = error_response(BadInput("the body", "cannot be decoded as its headers say"), status=400)
        response.force_close()  # it is unknown where the body ends and the next request begins
    except Exception as error:
        if isinstance(error, ConnectionError) and (request.transport is None or request.transport.is_closing()):
            return web.Response(status=400)  # the client has gone, and reads no answer
        log.exception("a request failed", method=request.method, path=request.path)
        response = error_response(SessionsError("the server had an internal error; its log has the details"))
    if not response.prepared:
        response.headers.setdefault("Cache-Control", NOT_KEPT)
    return response


def _error_of(request: web.Request, error: web.HTTPException) -> SessionsError:
    """What aiohttp found wrong with a request, as an error of ours."""
    match error:
        case web.HTTPNotFound():
            return NotFound("route", request.path[:128])
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            return MethodNotAllowed(f"{request.method[:16]} is not a method of this route, which takes {allowed}")
        case _:
            return CallerError(error.reason)


def guarding(proxies: TrustedProxies) -> Middleware:
    """A middleware that finds out who calls, and has the connection's time pass only while the client owes bytes. A
    connection that has used up most of it ends with the answer, so that no request meets the end of another."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        connection, caller = connection_of(request), proxies.caller(request)
        if caller is not None:
            request[CALLER] = caller
        if connection is None:
            return await handler(request)
        request[CONNECTION] = connection
        connection.client_has_sent()
        try:
            if caller is not None and not connection.comes_from(caller.address):
                response: web.StreamResponse = error_response(AtCapacity(TOO_MANY))
                response.force_close()
            else:
                response = await handler(request)
            if connection.used_up and not response.prepared:
                response.force_close()
            return response
        finally:
            connection.client_must_send()

    return guard


def origin_check(
    allowed_origins: tuple[str, ...], allowed_hosts: tuple[str, ...], any_host: bool, callers: Identification
) -> Middleware:
    """A middleware that keeps foreign web pages out: a page's origin must be ours or an allowed one, and the host
    name loopback's or an allowed one, so that no foreign name can be pointed at this server. `any_host` where
    credentials guard the server."""
    hosts = LOOPBACK | set(allowed_hosts)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        asked = caller_of(request).host
        for named in {request.host, asked}:  # a page can forward a name, but not its own Host
            if not HOST.fullmatch(named):
                raise ForeignHost("the Host header must be a host name or an address, with a port if any")
            host = _host_name(named)
            if not any_host and host not in hosts:
                callers.note_refusal(request, "foreign host name", host)
                raise ForeignHost(f"host name {host[:64]!a} is not one of server.allowed_hosts")
        origin = request.headers.get("Origin")
        if origin is not None and not _same_origin(origin, asked) and origin not in allowed_origins:
            callers.note_refusal(request, "foreign origin", origin)
            raise ForeignOrigin("this page's origin is not one of server.allowed_origins")
        if origin in allowed_origins and request.method == "OPTIONS" and PREFLIGHT in request.headers:
            return preflight()
        return await handler(request)

    return check


def _host_name(host: str) -> str:
    """The name in a `Host` header, without its port; empty where there can be none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _same_origin(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc == host
    except ValueError:
        return False


def authentication(callers: Identification, scrapers: Scrapers) -> Middleware:
    """A middleware that finds the principal of every request, except for routes that anyone may ask, for sockets, and
    for what reads the metrics without being an operator."""

    @web.middleware
    async def identify(request: web.Request, handler: Handler) -> web.StreamResponse:
        page = request.match_info.route.name == ROUTE  # it asks for a login itself
        if not page and not request.path.startswith(SOCKETS) and request.path not in ANYONE:
            if request.path == METRICS.path and scrapers.admit(request):
                return await handler(request)
            principal = await callers.identify(request, credentials_of(request))
            rates_of(request).requests.take()
            route = route_of(request)
            if principal.link is not None and route is not None and (route.needs is None or not route.by_link):
                raise Forbidden("a link lets you into one conversation, and nowhere else")
            if request.path in OPERATORS and not principal.watches:
                raise Unauthorized("only operators may ask this")
        return await handler(request)

    return identify


def admission(has_room: Callable[[str | None], bool]) -> Middleware:
    """A middleware that answers a handshake with 503 while there is no room: a connect error would end the client's
    automatic reconnects. `has_room` is asked with the conversation that the query names, if it names one."""

    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(SOCKETS) and "j" in request.query:
            raise BadInput(
                "j", "asks for JSONP, which lets any page read the answers; use a websocket, or poll without it"
            )
        handshake = request.path.startswith(SOCKETS) and "sid" not in request.query
        if handshake and not has_room(request.query.get("conversation_id")):
            return error_response(AtCapacity("no room for one more connection now; try again in a moment"))
        return await handler(request)

    return admit
