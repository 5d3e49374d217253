"""What a caller shows: a key in `auth` payload, header or query, or a browser's cookie."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiohttp import web

NONE = ("", "null", "undefined")
"""What the V0 client writes where it has no key."""

HEADERS = {
    "HTTP_HOST": "Host",
    "HTTP_AUTHORIZATION": "Authorization",
    "HTTP_X_SESSION_API_KEY": "X-Session-API-Key",
    "HTTP_COOKIE": "Cookie",
}


@dataclass(frozen=True, slots=True)
class Credentials:
    """As `Auth` takes them. `by_cookie`: a browser added them by itself, perhaps for a page of somebody else's."""

    values: Mapping[str, str] = field(default_factory=dict)
    by_cookie: bool = False


def credentials_of(environ: Mapping[str, Any], given: str | None = None) -> Credentials:
    """The first that is found. `environ` is WSGI's, `given` what the `auth` payload holds."""
    bearer = environ.get("HTTP_AUTHORIZATION", "")
    keys = (
        given or "",
        environ.get("HTTP_X_SESSION_API_KEY", ""),
        bearer[len("Bearer ") :] if bearer.startswith("Bearer ") else "",
        query_of(environ).get("session_api_key", ""),
    )
    for key in keys:
        if key not in NONE:
            return Credentials({"session_api_key": key})
    cookies = _cookies(environ.get("HTTP_COOKIE", ""))
    if proof := cookies.get(login_cookie(environ.get("HTTP_HOST", ""))):
        return Credentials({"login_proof": proof}, by_cookie=True)
    key = cookies.get("session_api_key", "")
    return Credentials() if key in NONE else Credentials({"session_api_key": key}, by_cookie=True)


def credentials_in(request: web.Request) -> Credentials:
    """As `credentials_of`, for a request that is not a socket's."""
    headers = {variable: request.headers.get(name, "") for variable, name in HEADERS.items()}
    return credentials_of({**headers, "QUERY_STRING": request.rel_url.raw_query_string})


def query_of(environ: Mapping[str, Any]) -> dict[str, str]:
    """The query, each name with its last value."""
    return {name: values[-1] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()}


def login_cookie(host: str) -> str:
    """The cookie's name for a `Host` header. Browsers send a cookie to every port of its host: with the port in their
    names, those of two servers do not overwrite each other."""
    try:
        port = urlsplit(f"//{host}").port
    except ValueError:
        port = None
    return "ohs_login" if port is None else f"ohs_login_{port}"


def _cookies(header: str) -> dict[str, str]:
    """Leniently: a cookie of another server of this host, which we cannot read, hides none of ours."""
    pairs = (part.partition("=") for part in header.split(";"))
    return {name.strip(): value.strip().strip('"') for name, _, value in pairs}
