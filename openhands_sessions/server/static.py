"""The web client, served from a folder: its files as they are, and its page for every path that is its own."""

import re
from collections.abc import Iterable
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from openhands_sessions.core.errors import BadInput
from openhands_sessions.server.login import door, home
from openhands_sessions.server.security_headers import CLIENT

PAGE = "index.html"
ROUTE = "client"
NOT_THE_CLIENTS = ("api", "socket.io", "mcp", "health", "alive", "server_info", "metrics")
"""First parts of paths that are the server's: what is not found there is not found, and never the page."""
THE_CLIENTS = rf"(?!(?:{'|'.join(map(re.escape, NOT_THE_CLIENTS))})(?:/|%2F|$))(?s:.*)"
"""What the route matches: if it took the server's paths too, an unknown one would be known for GET alone."""
KEPT = {"assets": "public, max-age=31536000, immutable", "locales": "public, max-age=86400"}
"""`Cache-Control` by the first part of the path: names below `assets` change with the content, texts seldom change."""


def page_routes(folder: Path | None) -> Iterable[web.RouteDef]:
    """Routes for every path that no other route has taken; without a client, for `/` alone. Raises BadInput where the
    folder has no page."""
    if folder is None:
        return (web.get("/", home, name=ROUTE),)
    root = folder.resolve()
    if not (root / PAGE).is_file():
        raise BadInput("server.client_dir", f"has no {PAGE}: name the folder with the built web client")
    return (web.get(f"/{{path:{THE_CLIENTS}}}", _serving(root), name=ROUTE),)


def _serving(root: Path) -> Handler:
    async def serve(request: web.Request) -> web.StreamResponse:
        parts = request.match_info["path"].split("/")
        file = _file(root, parts)
        if file is None and parts[0] == "assets":
            raise web.HTTPNotFound
        if file in (None, root / PAGE) and (answer := await door(request)) is not None:
            return answer
        response = web.FileResponse(file or root / PAGE)
        response.headers["Content-Security-Policy"] = CLIENT
        if file is not None and parts[0] in KEPT:
            response.headers["Cache-Control"] = KEPT[parts[0]]
        return response

    return serve


def _file(root: Path, parts: list[str]) -> Path | None:
    """The file that a path names, None where there is none. Nothing outside of the folder is one, nor what is
    hidden."""
    if any(not part or part.startswith(".") or "\0" in part or "\\" in part for part in parts):
        return None
    try:
        file = root.joinpath(*parts).resolve()
        return file if file.is_relative_to(root) and file.is_file() else None
    except (OSError, ValueError):
        return None
