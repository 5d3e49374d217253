"""Probes: is the process alive, does it take new work; and what it is."""

from aiohttp import web

from openhands_sessions.server.services import services


async def live(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def ready(request: web.Request) -> web.Response:
    directory = services(request).directory
    if not directory.accepting:
        return web.json_response({"status": "shutting_down"}, status=503)
    return web.json_response({"status": "ok", "sessions": len(directory)})


async def server_info(request: web.Request) -> web.Response:
    found = services(request)
    return web.json_response({"version": found.version, "sessions": len(found.directory)})


ROUTES = (web.get("/health/live", live), web.get("/health/ready", ready), web.get("/server_info", server_info))
