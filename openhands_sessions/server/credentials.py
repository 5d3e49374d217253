"""What a caller shows: a key in `auth` payload, header or query, or a browser's cookie."""

from collections.abc import Sequence
from functools import partial
from urllib.parse import urlsplit

from aiohttp import web

from openhands_sessions.core.evolve import evolve
from openhands_sessions.ports.access import Credentials
from openhands_sessions.server.forwarding import caller_of
from openhands_sessions.server.path_prefix import base_of

NONE = ("", "null", "undefined")
"""What the V0 client writes where it has no key."""
NO_CREDENTIALS = Credentials()


def credentials_of(request: web.BaseRequest, given: str | None = None) -> Credentials:
    """The first key or login found, in this order: `given` (what the `auth` payload holds), header, bearer, query,
    cookie."""
    headers = request.headers
    bearer = headers.get("Authorization", "")
    keys = (
        given or "",
        headers.get("X-Session-API-Key", ""),
        bearer[len("Bearer ") :] if bearer.startswith("Bearer ") else "",
        query_of(request).get("session_api_key", ""),
    )
    found = evolve(NO_CREDENTIALS, peer=request.remote or "", headers=partial(_all_values, request))
    for key in keys:
        if key not in NONE:
            return evolve(found, key=key)
    if "Cookie" not in headers:
        return found
    cookies = _cookies(headers["Cookie"])
    if proof := cookies.get(login_cookie(request)):
        return evolve(found, login=proof, by_cookie=True)
    key = cookies.get("session_api_key", "")
    return found if key in NONE else evolve(found, key=key, by_cookie=True)


def _all_values(request: web.BaseRequest, name: str) -> Sequence[str]:
    return request.headers.getall(name, ())


def query_of(request: web.BaseRequest) -> dict[str, str]:
    """The query, each name with its last value."""
    return {name: value for name, value in request.query.items()}  # noqa: C416 - dict() would take the first


def login_cookie(request: web.BaseRequest) -> str:
    """The cookie's name, by the `Host` header and the base path. Browsers send a cookie to every port of its host, and
    to every path below its own: with both in their names, those of two servers do not hide each other."""
    try:
        port = urlsplit(f"//{caller_of(request).host}").port
    except ValueError:
        port = None
    name = "ohs_login" if port is None else f"ohs_login_{port}"
    return name + base_of(request).replace("/", "_")


def _cookies(header: str) -> dict[str, str]:
    """Leniently: a cookie of another server of this host, which we cannot read, hides none of ours."""
    pairs = (part.partition("=") for part in header.split(";"))
    return {name.strip(): value.strip().strip('"') for name, _, value in pairs}
