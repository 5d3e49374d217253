"""The pages of a login: small, and without anything from elsewhere."""

import html
from pathlib import Path
from string import Template
from typing import Literal

from aiohttp import web

from openhands_sessions.server.login_tokens import TOKEN_SECONDS
from openhands_sessions.server.security_headers import digest

LINK = "Get another link with <code>openhands-sessions login-url</code>, or log in with the key."
TOLD = {
    "used": f"This link was used already. {LINK}",
    "expired": f"This link is more than {TOKEN_SECONDS // 60} minutes old. {LINK}",
    "unknown": f"The server does not know this link: it may be from before its last start. {LINK}",
    "wrong": "This is not the key of this server.",
}
ASKING = """<p role="alert">$told</p>
<form method="post" action="$base/api/login">
  <label>$label
    <input type="password" name="session_api_key" autocomplete="current-password" required autofocus>
  </label>
  <input type="hidden" name="next" value="$next">
  <button>Log in</button>
</form>
<p>$hint</p>"""
LABELS = {"key": "Session key", "token": "Token"}
HINTS = {
    "key": "The server makes the key at its first start and keeps it in the file <code>session_api_key</code> of its"
    " data folder, unless its operator has chosen one. <code>openhands-sessions login-url</code> prints a link that"
    " needs no key.",
    "token": "The operator of this server issues tokens. You stay logged in for as long as yours is valid.",
}
OUTSIDE = "<p>A proxy in front of this server says who you are, and has not done so: ask its operator for access.</p>"
INSIDE = """<p>You are logged in. This server has no web client; <a href="$base/api/docs">its REST interface</a>.</p>
<form method="post" action="$base/api/logout"><button>Log out</button></form>"""
OPEN = '<p>This server has no web client, and asks for no key; <a href="$base/api/docs">its REST interface</a>.</p>'
AGAIN = '<meta http-equiv="refresh" content="0">'
"""A page that follows a link from elsewhere is asked for without the cookie, and by our own page with it."""
PAGE = Path(__file__).with_name("login.html").read_text("utf-8")
STYLE = digest(PAGE.partition("<style>")[2].partition("</style>")[0])
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src {STYLE}; img-src data:;"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    # Not "no-referrer": the form would be sent with the origin "null".
    "Referrer-Policy": "same-origin",
}


def asking(wanted: Literal["key", "token"], told: str, path: str, base: str) -> web.Response:
    """A form that asks for a key or a token. `told` is HTML that says why there is no login yet; `base` stands before
    the paths of routes."""
    fields = {"told": told, "next": html.escape(path), "label": LABELS[wanted], "hint": HINTS[wanted], "base": base}
    return page(Template(ASKING).substitute(fields), status=401)


def inside(required: bool, base: str) -> web.Response:
    """Where no web client is served. `required`: whether callers need a login."""
    return page(Template(INSIDE if required else OPEN).substitute(base=base))


def outside() -> web.Response:
    """Where a browser's user can do nothing to log in."""
    return page(OUTSIDE, status=401)


def page(body: str, status: int = 200) -> web.Response:
    content = Template(PAGE).substitute(body=body)
    return web.Response(text=content, status=status, content_type="text/html", headers=HEADERS)


def leading_to(path: str) -> web.Response:
    return web.Response(status=303, headers={"Location": path, "Referrer-Policy": "no-referrer"})
