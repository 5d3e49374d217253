"""What is measured, for Prometheus."""

import asyncio
from types import ModuleType

from aiohttp import web

from openhands_sessions.server.services import services


async def metrics(request: web.Request) -> web.Response:
    found = services(request)
    prometheus = await asyncio.to_thread(_loaded)
    taken = prometheus.take(found.operations, found.version)
    text, media = await asyncio.to_thread(prometheus.write, taken, request.headers.get("Accept", ""))
    return web.Response(body=text, headers={"Content-Type": media})


def _loaded() -> ModuleType:
    from openhands_sessions.server import metrics as loaded

    return loaded
