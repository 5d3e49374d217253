"""What the server says about itself: its routes, its socket, and a page that shows them."""

import asyncio
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from openhands_sessions.server.path_prefix import base_of
from openhands_sessions.server.security_headers import digest
from openhands_sessions.server.services import services

PAGE = Path(__file__).with_name("docs.html")


def describing(make: Callable[[str, str], dict[str, Any]]) -> Handler:
    """A handler that answers a document, which is made once for a version and a base path."""

    @cache
    def made(version: str, base: str) -> bytes:
        return orjson.dumps(make(version, base))

    async def answer(request: web.Request) -> web.Response:
        content = await asyncio.to_thread(made, services(request).version, base_of(request))
        return web.Response(body=content, content_type="application/json")

    return answer


async def docs(request: web.Request) -> web.StreamResponse:
    """Everything in one file: it works where nothing else is reached."""
    return web.FileResponse(PAGE, headers={"Content-Security-Policy": _policy()})


@cache
def _policy() -> str:
    text = PAGE.read_text("utf-8")
    script, style = (digest(text.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]) for tag in ("script", "style"))
    return (
        f"default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; frame-ancestors 'none';"
        " base-uri 'none'; form-action 'none'"
    )
