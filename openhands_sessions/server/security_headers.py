"""Headers of every answer: what a browser may do with it, and which other pages may read it."""

import base64
import hashlib
from collections.abc import Awaitable, Callable

from aiohttp import web

DATA = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""Of what is no page."""
CLIENT = "frame-ancestors 'self'; object-src 'none'; base-uri 'self'"
"""Of a web client's page and its files: what it loads, and from where, is the client's own matter."""
METHODS = "GET, POST, PUT, PATCH, DELETE"
ASKED = "Authorization, Content-Type, Last-Event-ID, X-Session-API-Key"
"""Headers that a page of an allowed origin may send, …"""
READ = "Content-Disposition, Retry-After"
"""… and those of ours that it may read, besides the plain ones."""
PREFLIGHT_SECONDS = 600


def answer_headers(allowed_origins: tuple[str, ...]) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """What is called with every answer before it is sent. A policy that an answer has already stays."""

    async def add(request: web.Request, response: web.StreamResponse) -> None:
        headers = response.headers
        headers.setdefault("Content-Security-Policy", DATA)
        headers.setdefault("X-Content-Type-Options", "nosniff")
        headers.setdefault("Referrer-Policy", "same-origin")
        headers.setdefault("X-Frame-Options", "SAMEORIGIN" if headers["Content-Security-Policy"] == CLIENT else "DENY")
        if not allowed_origins:
            return
        headers["Vary"] = f"{headers['Vary']}, Origin" if "Vary" in headers else "Origin"
        origin = request.headers.get("Origin", "")
        if origin in allowed_origins:
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Allow-Credentials"] = "true"
            headers["Access-Control-Expose-Headers"] = READ

    return add


def preflight() -> web.Response:
    """What a browser is told that asks whether a page of an allowed origin may send a request."""
    return web.Response(
        status=204,
        headers={
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Allow-Headers": ASKED,
            "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
        },
    )


def digest(content: str) -> str:
    """The source expression that allows exactly this inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
