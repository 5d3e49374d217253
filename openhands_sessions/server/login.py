"""How a browser logs in: by a link with a one-time token, or by the key or token in a form. Both set a cookie."""

import re
from dataclasses import replace
from html import escape
from urllib.parse import parse_qs

from aiohttp import web

from openhands_sessions.core.errors import Unauthorized
from openhands_sessions.ports.access import Auth, Principal
from openhands_sessions.protocol.login import LoginLinkOut
from openhands_sessions.protocol.server_routes import LOGIN_PAGE
from openhands_sessions.server.credentials import NO_CREDENTIALS, credentials_of, login_cookie
from openhands_sessions.server.forwarding import caller_of
from openhands_sessions.server.identification import Identification
from openhands_sessions.server.inbound import read_body
from openhands_sessions.server.login_pages import AGAIN, TOLD, asking, inside, leading_to, outside, page
from openhands_sessions.server.login_tokens import TOKEN_SECONDS, LoginTokenRefused, LoginTokens
from openhands_sessions.server.path_prefix import base_of
from openhands_sessions.server.services import principal

COOKIE_SECONDS = 30 * 24 * 3_600
FORM_BYTES = 16 * 1024
OURS = re.compile(r"/(?![/\\])[!-~]*")
"""A path that leads to no other server."""


class Login:
    """What the pages and routes of a login share."""

    def __init__(self, auth: Auth, callers: Identification) -> None:
        self.tokens = LoginTokens()
        self.auth = auth
        self._callers = callers

    def link(self, principal: Principal) -> LoginLinkOut:
        token = None if self.auth.asks_for is None else self.tokens.issue(principal)
        return LoginLinkOut(token=token, seconds=TOKEN_SECONDS)

    async def knows(self, request: web.Request) -> bool:
        return await self._callers.knows(request, credentials_of(request))

    async def by_key(self, request: web.Request, key: str) -> Principal:
        """Raises Unauthorized, RateLimited, and notes it in the log."""
        return await self._callers.identify(request, replace(NO_CREDENTIALS, key=key))

    def welcome(self, request: web.Request, principal: Principal, path: str) -> web.Response:
        """Set the cookie, and lead to a page."""
        response = leading_to(path)
        if self.auth.asks_for is not None:
            proof = self.auth.login_proof(principal, COOKIE_SECONDS)
            response.set_cookie(
                login_cookie(request),
                proof.text,
                max_age=proof.seconds,
                path=base_of(request) or "/",
                httponly=True,
                samesite="Strict",
                secure=_is_behind_tls(request),
            )
        return response


LOGIN = web.AppKey("login", Login)


def first_token(app: web.Application) -> str | None:
    """For the link that a server prints at its start; None where it knows no user to print one for."""
    login = app[LOGIN]
    return None if login.auth.local is None else login.link(login.auth.local).token


async def door(request: web.Request) -> web.StreamResponse | None:
    """What is answered in a page's place: to a link, and to who is not logged in. None for who may see the page."""
    login = request.app[LOGIN]
    token = request.query.get("token")
    place, base = request.rel_url.raw_path, base_of(request)
    if token is not None and request.method == "GET" and place in ("/", LOGIN_PAGE.path):
        try:
            return login.welcome(request, login.tokens.redeem(token), f"{base}/")
        except LoginTokenRefused as refused:
            return leading_to(f"{base}/" if await login.knows(request) else f"{base}{place}?login={refused.reason}")
    if await login.knows(request):
        return None
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        return page(AGAIN)
    told = TOLD.get(request.query.get("login", ""), "")
    return _asking(request, told, base + ("/" if place == LOGIN_PAGE.path else place))


def _asking(request: web.Request, told: str, path: str) -> web.Response:
    wanted = request.app[LOGIN].auth.asks_for
    return outside() if wanted is None else asking(wanted, told, path, base_of(request))


async def home(request: web.Request) -> web.StreamResponse:
    """`/` where no web client is served."""
    return await door(request) or inside(request.app[LOGIN].auth.required, base_of(request))


async def login_page(request: web.Request) -> web.StreamResponse:
    """For clients whose pages another server serves."""
    return await door(request) or leading_to(f"{base_of(request)}/")


async def log_in(request: web.Request) -> web.Response:
    body = (await read_body(request, FORM_BYTES)).decode("utf-8", "replace")
    form = {name: values[-1] for name, values in parse_qs(body).items()}
    home = f"{base_of(request)}/"
    path = form.get("next", home)
    try:
        caller = await request.app[LOGIN].by_key(request, form.get("session_api_key", "").strip())
    except Unauthorized as error:
        wrong_key = request.app[LOGIN].auth.asks_for == "key"
        return _asking(request, TOLD["wrong"] if wrong_key else escape(error.message), path)
    return request.app[LOGIN].welcome(request, caller, path if OURS.fullmatch(path) else home)


async def log_out(request: web.Request) -> web.Response:
    response = leading_to(f"{base_of(request)}/")
    response.del_cookie(
        login_cookie(request),
        path=base_of(request) or "/",
        httponly=True,
        samesite="Strict",
        secure=_is_behind_tls(request),
    )
    return response


async def link(request: web.Request) -> web.Response:
    return web.json_response(request.app[LOGIN].link(principal(request)).wire())


def _is_behind_tls(request: web.Request) -> bool:
    """Whether the browser speaks TLS. Its page's origin says so behind a proxy that is not trusted too."""
    return caller_of(request).secure or request.headers.get("Origin", "").startswith("https://")
