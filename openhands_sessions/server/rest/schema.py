"""What the server says about itself: its routes, its socket, and a page that shows them."""

import asyncio
from functools import cache
from pathlib import Path

import orjson
from aiohttp import web

from openhands_sessions.server.schema.document import openapi
from openhands_sessions.server.schema.socket import socket_schema
from openhands_sessions.server.services import services

PAGE = Path(__file__).with_name("docs.html")


async def rest_document(request: web.Request) -> web.Response:
    return _json(await asyncio.to_thread(_openapi, services(request).version))


async def socket_document(request: web.Request) -> web.Response:
    return _json(await asyncio.to_thread(_socket, services(request).version))


async def docs(request: web.Request) -> web.StreamResponse:
    """Everything in one file: it works where nothing else is reached."""
    return web.FileResponse(PAGE)


@cache
def _openapi(version: str) -> bytes:
    return orjson.dumps(openapi(version))


@cache
def _socket(version: str) -> bytes:
    return orjson.dumps(socket_schema(version))


def _json(content: bytes) -> web.Response:
    return web.Response(body=content, content_type="application/json")


ROUTES = (
    web.get("/api/openapi.json", rest_document),
    web.get("/api/socket.schema.json", socket_document),
    web.get("/api/docs", docs),
)
