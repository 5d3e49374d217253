"""`/api/settings`, `/api/secrets` and the tokens of git providers: kept for their owner, shown without values;
`/api/user`: what git providers know of the user; `/api/options`: what there is to choose from."""

from aiohttp import web
from aiohttp.typedefs import Handler

from openhands_sessions.core.errors import AlreadyExists, BadInput, Gone, NoProviderToken, NotFound
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import OwnerId
from openhands_sessions.core.settings import nearest
from openhands_sessions.core.user_settings import AGENTS, shown
from openhands_sessions.protocol.settings import PROVIDERS, ProvidersIn, SecretChangeIn, SecretIn, SecretValueIn
from openhands_sessions.server.middleware import error_response
from openhands_sessions.server.services import body, mapping, principal, services

NEEDED = "Git provider token required. (such as GitHub)."
NONE_SET = "No providers set."
NOBODY: dict[str, Json] = {"id": "", "login": "", "avatar_url": "", "company": None, "name": None, "email": None}
NO_BRANCHES: dict[str, Json] = {
    "branches": [],
    "has_next_page": False,
    "current_page": 1,
    "per_page": 30,
    "total_count": 0,
}


async def settings(request: web.Request) -> web.Response:
    owner = _owner(request)
    found = await services(request).settings.shown(owner)
    if found is None:
        return error_response(NotFound("Settings"), error="Settings not found")
    providers = await services(request).secrets.providers(owner)
    return web.json_response(shown(found.settings, providers, operators_key=found.operators_key))


async def store_settings(request: web.Request) -> web.Response:
    given = await mapping(request)
    known = services(request).options.agents
    agent = given.get("agent")
    if isinstance(agent, str) and agent and agent not in (*known, *AGENTS.values()):
        raise BadInput("agent", f"{agent[:64]!r} does not exist{nearest(agent, dict.fromkeys(known))}")
    await services(request).settings.store(_owner(request), given)
    return web.json_response({"message": "Settings stored"})


async def reset(request: web.Request) -> web.Response:
    told = "settings cannot be reset; store the ones that you want with POST /api/settings"
    return error_response(Gone(told), error=told)


async def secrets(request: web.Request) -> web.Response:
    found = await services(request).secrets.names(_owner(request))
    listed = [{"name": name, "description": description} for name, description in found]
    return web.json_response({"custom_secrets": listed})


async def add_secret(request: web.Request) -> web.Response:
    given = await body(request, SecretIn)
    try:
        await services(request).secrets.add(_owner(request), given.name, given.value, given.description or "")
    except AlreadyExists as error:
        return error_response(error, status=400)
    return web.json_response({"message": "Secret created successfully"}, status=201)


async def change_secret(request: web.Request) -> web.Response:
    given, name = await body(request, SecretChangeIn), request.match_info["name"]
    try:
        await services(request).secrets.rename(_owner(request), name, given.name, given.description)
    except AlreadyExists as error:
        return error_response(error, status=400)
    except NotFound as error:
        return error_response(error, error=error.message)
    return web.json_response({"message": "Secret updated successfully"})


async def replace_secret(request: web.Request) -> web.Response:
    given, name = await body(request, SecretValueIn), request.match_info["name"]
    try:
        await services(request).secrets.replace(_owner(request), name, given.value)
    except NotFound as error:
        return error_response(error, error=error.message)
    return web.json_response({"message": "Secret updated successfully"})


async def delete_secret(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    try:
        await services(request).secrets.delete(_owner(request), name)
    except NotFound as error:
        return error_response(error, error=error.message)
    return web.json_response({"message": "Secret deleted successfully"})


async def add_tokens(request: web.Request) -> web.Response:
    given = await body(request, ProvidersIn)
    for name in given.provider_tokens:
        if name not in PROVIDERS:
            raise BadInput(f"provider_tokens.{name[:64]}", f"is not a provider{nearest(name, PROVIDERS)}")
    tokens = {name: {"token": each.token, "host": each.host} for name, each in given.provider_tokens.items()}
    await services(request).secrets.add_tokens(_owner(request), tokens)
    return web.json_response({"message": "Git providers stored"})


async def forget_tokens(request: web.Request) -> web.Response:
    await services(request).secrets.forget_tokens(_owner(request))
    return web.json_response({"message": "Unset Git provider tokens"})


def of_providers(found: Json, without: str = NEEDED) -> Handler:
    """A handler that asks no git provider: without a token it answers 401, with one `found`, which is empty."""

    async def answer(request: web.Request) -> web.Response:
        if not await services(request).secrets.providers(_owner(request)):
            raise NoProviderToken(without)
        return web.json_response(found)

    return answer


async def no_microagent(request: web.Request) -> web.Response:
    """A handler of what no git provider is asked for."""
    if not await services(request).secrets.providers(_owner(request)):
        raise NoProviderToken(NEEDED)
    raise NotFound("microagent", request.match_info["name"][:128])


async def client_config(request: web.Request) -> web.Response:
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


def _owner(request: web.Request) -> OwnerId:
    return principal(request).owner
