"""Where a caller's key may stand: `auth` payload, header, cookie or query."""

from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

NONE = ("", "null", "undefined")
"""What the V0 client writes where it has no key."""


def credentials_of(environ: Mapping[str, Any], query: Mapping[str, str], given: str | None) -> dict[str, str]:
    """The first key found, as `session_api_key`; nothing where there is none. `environ` is WSGI's."""
    bearer = environ.get("HTTP_AUTHORIZATION", "")
    candidates = (
        given or "",
        environ.get("HTTP_X_SESSION_API_KEY", ""),
        bearer[len("Bearer ") :] if bearer.startswith("Bearer ") else "",
        _cookie(environ.get("HTTP_COOKIE", "")),
        query.get("session_api_key", ""),
    )
    key = next((candidate for candidate in candidates if candidate not in NONE), None)
    return {} if key is None else {"session_api_key": key}


def _cookie(header: str) -> str:
    if not header:
        return ""
    try:
        morsel = SimpleCookie(header).get("session_api_key")
    except CookieError:
        return ""
    return morsel.value if morsel is not None else ""
