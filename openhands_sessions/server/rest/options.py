"""`/api/options`: what there is to choose from, and how the web client is to behave."""

from collections.abc import Mapping

from aiohttp import web
from aiohttp.typedefs import Handler

from openhands_sessions.protocol import routes
from openhands_sessions.server.services import services


async def config(request: web.Request) -> web.Response:
    """No key for analytics: nothing is sent anywhere."""
    flags = {"ENABLE_BILLING": False, "HIDE_LLM_SETTINGS": False}
    return web.json_response(
        {"APP_MODE": "oss", "GITHUB_CLIENT_ID": "", "POSTHOG_CLIENT_KEY": "", "FEATURE_FLAGS": flags}
    )


async def models(request: web.Request) -> web.Response:
    return web.json_response(list(await services(request).options.models()))


async def agents(request: web.Request) -> web.Response:
    return web.json_response(list(services(request).options.agents))


async def security_analyzers(request: web.Request) -> web.Response:
    return web.json_response(list(services(request).options.security_analyzers))


HANDLERS: Mapping[routes.Route, Handler] = {
    routes.CLIENT_CONFIG: config,
    routes.LIST_MODELS: models,
    routes.LIST_AGENTS: agents,
    routes.LIST_ANALYZERS: security_analyzers,
}
