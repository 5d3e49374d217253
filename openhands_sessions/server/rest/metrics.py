"""What is measured, for Prometheus."""

import asyncio

from aiohttp import web

from openhands_sessions.server.metrics import take, write
from openhands_sessions.server.services import services


async def metrics(request: web.Request) -> web.Response:
    found = services(request)
    taken = take(found.operations, found.version)
    text, media = await asyncio.to_thread(write, taken, request.headers.get("Accept", ""))
    return web.Response(body=text, headers={"Content-Type": media})
