"""The network edge put together: one aiohttp application with the sockets in it."""

import asyncio
import logging
import socket
import ssl
import warnings
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import socketio
import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.multipart import BadContentDispositionHeader, BadContentDispositionParam
from aiohttp.typedefs import Handler, Middleware

from openhands_sessions.protocol import routes, server_routes, state_routes
from openhands_sessions.protocol.asyncapi import asyncapi, socket_schema
from openhands_sessions.protocol.openapi import openapi
from openhands_sessions.protocol.route import Route
from openhands_sessions.protocol.socket_messages import SocketJson
from openhands_sessions.server import middleware
from openhands_sessions.server.access_log import AccessLog
from openhands_sessions.server.caller_rates import RATES, RateLimits
from openhands_sessions.server.compression import compress_json
from openhands_sessions.server.failed_logins import FailedLogins
from openhands_sessions.server.forwarding import TrustedProxies
from openhands_sessions.server.guarded_connection import guarded
from openhands_sessions.server.identification import Identification
from openhands_sessions.server.inbound import LIMITS, InboundBudget, MessageLimits
from openhands_sessions.server.login import LOGIN, Login, link, log_in, log_out, login_page
from openhands_sessions.server.loop_lag import measured
from openhands_sessions.server.path_prefix import below, inside
from openhands_sessions.server.pending_connections import PENDING, PendingConnections
from openhands_sessions.server.rest import (
    commands,
    conversations,
    details,
    event_stream,
    events,
    health,
    history,
    metrics,
    schema,
    settings,
    sharing,
    states,
    usage,
    workspaces,
)
from openhands_sessions.server.scrapers import Scrapers
from openhands_sessions.server.security_headers import answer_headers
from openhands_sessions.server.services import SERVICES, Services
from openhands_sessions.server.slow_client import hang_up
from openhands_sessions.server.sockets.client_namespace import ClientDependencies, ClientNamespace
from openhands_sessions.server.sockets.connected_clients import ConnectedClients
from openhands_sessions.server.sockets.operator_namespace import OperatorNamespace
from openhands_sessions.server.sockets.strict_server import StrictServer
from openhands_sessions.server.static import page_routes
from openhands_sessions.server.trace_context import trace_context

log = structlog.get_logger(__name__)

HANDLERS: Mapping[Route, Handler] = {
    routes.CREATE_CONVERSATION: conversations.create,
    routes.LIST_CONVERSATIONS: conversations.page,
    routes.LIST_MICROAGENT_CONVERSATIONS: conversations.managed,
    routes.DESCRIBE_CONVERSATION: conversations.describe,
    routes.RENAME_CONVERSATION: conversations.rename,
    routes.DELETE_CONVERSATION: conversations.delete,
    routes.START_CONVERSATION: conversations.start,
    routes.FORK_CONVERSATION: conversations.fork,
    routes.STOP_CONVERSATION: conversations.stop,
    routes.MARK_READ: conversations.mark_read,
    routes.RUNTIME_CONFIG: details.config,
    routes.VSCODE_URL: details.of_any({"vscode_url": None}),  # there is no editor in our sandboxes
    routes.WEB_HOSTS: details.of_any({"hosts": {}}),  # no port of a sandbox is reached from outside
    routes.LIST_MICROAGENTS: details.microagents,
    routes.REMEMBER_PROMPT: details.remember_prompt,
    routes.EXPERIMENT_CONFIG: details.of_any(True),
    routes.SUBMIT_FEEDBACK: details.feedback,
    routes.SEND_COMMAND: commands.add_event,
    routes.SAY: commands.say,
    routes.SEND_MESSAGE: commands.send_message,
    routes.SET_MODEL: commands.set_model,
    routes.SET_BUDGET: commands.set_budget,
    routes.READ_HISTORY: history.read,
    routes.CHANGE_HISTORY: history.change,
    routes.DIFF_HISTORY: history.diff,
    routes.READ_EVENTS: events.events,
    routes.STREAM_EVENTS: event_stream.event_stream,
    routes.EXPORT: events.trajectory,
    routes.LIST_SHARES: sharing.shares,
    routes.SHARE: sharing.share,
    routes.UNSHARE: sharing.unshare,
    routes.MAKE_LINK: sharing.make_link,
    routes.REVOKE_LINK: sharing.revoke_link,
    state_routes.READ_STATE: states.OF_SESSION.read,
    state_routes.CHANGE_STATE: states.OF_SESSION.change,
    state_routes.READ_STATE_CHANGES: states.OF_SESSION.changes,
    state_routes.READ_USER_STATE: states.OF_USER.read,
    state_routes.CHANGE_USER_STATE: states.OF_USER.change,
    state_routes.READ_USER_CHANGES: states.OF_USER.changes,
    state_routes.READ_APP_STATE: states.OF_APP.read,
    state_routes.CHANGE_APP_STATE: states.OF_APP.change,
    state_routes.READ_APP_CHANGES: states.OF_APP.changes,
    routes.LIST_FILES: workspaces.list_files,
    routes.READ_FILE: workspaces.select_file,
    routes.UPLOAD_FILES: workspaces.upload_files,
    routes.ZIP_DIRECTORY: workspaces.zip_directory,
    routes.GIT_CHANGES: workspaces.git_changes,
    routes.GIT_DIFF: workspaces.git_diff,
    server_routes.LOGIN_PAGE: login_page,
    server_routes.LOG_IN: log_in,
    server_routes.LOG_OUT: log_out,
    server_routes.LOGIN_LINK: link,
    server_routes.ALIVE: health.live,
    server_routes.HEALTH: health.health,
    server_routes.LIVE: health.live,
    server_routes.READY: health.ready,
    server_routes.HEALTH_LLM: health.llm,
    server_routes.SERVER_INFO: health.server_info,
    routes.CLIENT_CONFIG: settings.client_config,
    routes.LIST_MODELS: settings.models,
    routes.LIST_AGENTS: settings.agents,
    routes.LIST_ANALYZERS: settings.security_analyzers,
    routes.USER_INFO: settings.of_providers(settings.NOBODY),
    routes.USER_REPOSITORIES: settings.of_providers([]),
    routes.SEARCH_REPOSITORIES: settings.of_providers([]),
    routes.SEARCH_BRANCHES: settings.of_providers([]),
    routes.REPOSITORY_BRANCHES: settings.of_providers(settings.NO_BRANCHES),
    routes.INSTALLATIONS: settings.of_providers([]),
    routes.SUGGESTED_TASKS: settings.of_providers([], settings.NONE_SET),
    routes.REPOSITORY_MICROAGENTS: settings.of_providers([]),
    routes.REPOSITORY_MICROAGENT: settings.no_microagent,
    server_routes.METRICS: metrics.metrics,
    server_routes.OPENAPI: schema.describing(openapi),
    server_routes.SOCKET_SCHEMA: schema.describing(lambda version, base: socket_schema(version)),
    server_routes.ASYNCAPI: schema.describing(asyncapi),
    server_routes.DOCS: schema.docs,
    routes.READ_SETTINGS: settings.settings,
    routes.STORE_SETTINGS: settings.store_settings,
    routes.RESET_SETTINGS: settings.reset,
    routes.LIST_SECRETS: settings.secrets,
    routes.ADD_SECRET: settings.add_secret,
    routes.CHANGE_SECRET: settings.change_secret,
    routes.REPLACE_SECRET: settings.replace_secret,
    routes.DELETE_SECRET: settings.delete_secret,
    routes.USAGE: usage.usage,
    routes.ADD_PROVIDERS: settings.add_tokens,
    routes.UNSET_PROVIDERS: settings.forget_tokens,
}
ACCESS = logging.getLogger("aiohttp.access")
"""Must be given for lines to be made; AccessLog writes them elsewhere."""
BASE_PATH = web.AppKey("base path", str)
BACKLOG = 128
"""Connections that wait for the server to take them."""
HANDSHAKE_SECONDS = 10.0
PING_INTERVAL = 25
PING_TIMEOUT = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerSettings:
    """What the application is made of, besides the parts of its clients."""

    services: Services
    clients: ClientDependencies
    allowed_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    any_host: bool = False
    trusted_proxies: tuple[str, ...] = ()
    metrics_key: str | None = None
    metrics_allow: tuple[str, ...] = ()
    client_dir: Path | None = None
    base_path: str = ""
    traces: bool = False
    """Whether turns are traced, below the traces of the requests that cause them."""


def build_app(edge: ServerSettings) -> web.Application:
    """The aiohttp application. Its start takes up the turns that an earlier server left; its clean-up ends every
    session, and followers end by themselves with a reason."""
    limits, proxies = edge.clients.limits, TrustedProxies(edge.trusted_proxies)
    failed = FailedLogins(limits.failed_logins_per_minute, proxies)
    operations, callers = edge.services.operations, Identification(edge.services.auth, failed)
    app = web.Application(client_max_size=limits.message_bytes, middlewares=_middlewares(edge, callers, proxies))
    app[SERVICES] = edge.services
    app[BASE_PATH] = edge.base_path
    app[LOGIN] = Login(edge.services.auth, callers)
    app[RATES] = RateLimits(limits.rates, keyed=edge.services.auth.required, users=edge.services.auth.local is None)
    app[LIMITS] = MessageLimits(limits.message_bytes, InboundBudget(limits.unfinished_bytes))
    app.add_routes([web.route(row.method, row.pattern, handler) for row, handler in HANDLERS.items()])
    app[PENDING] = PendingConnections(limits.pending, proxies)
    sio = _socket_server(app, callers, limits.slow_client_grace)
    sio.attach(app)
    app.add_routes(page_routes(edge.client_dir))
    clients = ClientNamespace(edge.clients, callers, app[RATES])
    operators = OperatorNamespace(operations, edge.services.operators, callers, limits.slow_client_grace)
    sio.register_namespace(clients)
    sio.register_namespace(operators)

    async def end_sessions(app: web.Application) -> None:
        await operations.close_all("shutdown")
        await clients.close()
        await operators.close()
        hang_up(sio)
        await sio.shutdown()

    app.on_response_prepare.append(answer_headers(edge.allowed_origins))
    app.cleanup_ctx.extend((partial(measured, operations.measurements.loop_lag), _recovering))
    app.on_shutdown.append(end_sessions)
    return app


def _middlewares(edge: ServerSettings, callers: Identification, proxies: TrustedProxies) -> list[Middleware]:
    """What every request passes, in this order."""
    return [
        *([trace_context] if edge.traces else []),
        middleware.guarding(proxies),
        compress_json,
        middleware.errors,
        inside,
        middleware.origin_check(edge.allowed_origins, edge.allowed_hosts, edge.any_host, callers),
        middleware.admission(edge.services.operations.has_room),
        middleware.authentication(callers, Scrapers(edge.metrics_key, edge.metrics_allow, callers)),
    ]


def _socket_server(app: web.Application, callers: Identification, grace: float) -> socketio.AsyncServer:
    """Handlers are awaited one after the other, so a client that floods waits for itself. Origins are checked by our
    middleware, for REST and sockets alike."""
    return StrictServer(
        app[LIMITS],
        callers,
        app[PENDING],
        grace,
        async_mode="aiohttp",
        client_manager=ConnectedClients(),
        json=SocketJson,
        async_handlers=False,
        cors_allowed_origins="*",
        ping_interval=PING_INTERVAL,
        ping_timeout=PING_TIMEOUT,
        http_compression=False,
        logger=False,
        engineio_logger=False,
    )


async def _recovering(app: web.Application) -> AsyncIterator[None]:
    operations = app[SERVICES].operations
    await operations.expect_clients()
    recovering = [
        asyncio.create_task(operations.recover(), name="recovery"),
        asyncio.create_task(operations.resume(), name="resumption"),
        asyncio.create_task(operations.reject_overdue(), name="deadlines of approvals"),
    ]
    for task in recovering:
        task.add_done_callback(_tell_failure)
    yield
    for task in recovering:
        task.cancel()
    await asyncio.wait(recovering)


def _tell_failure(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("recovery failed; the next start tries again", task=task.get_name(), exc_info=error)


@asynccontextmanager
async def listening(
    app: web.Application,
    host: str,
    port: int,
    grace: float,
    *,
    access_log: bool = False,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    """Serve on an address and give the port; the end of the block drains within `grace` seconds. `access_log`: log
    every request. `tls`: speak HTTPS only. Raises OSError."""
    _hide_client_faults()
    runner = web.AppRunner(
        app,
        access_log=ACCESS if access_log else None,
        access_log_class=AccessLog,
        shutdown_timeout=grace,
        handler_cancellation=False,
    )
    await runner.setup()
    server = None
    try:
        if base := app.get(BASE_PATH):
            assert runner.server is not None
            runner.server.request_factory = below(base, runner.server.request_factory)
        server = await _listening(guarded(runner, app), host, port, tls)
        yield server.sockets[0].getsockname()[1]
    finally:
        if (services := app.get(SERVICES)) is not None:
            # The server still listens: a new client is told to come again.
            await services.operations.close_all("shutdown")
        if server is not None:
            server.close()
        await runner.cleanup()


async def _listening(
    factory: Callable[[], asyncio.Protocol], host: str, port: int, tls: ssl.SSLContext | None
) -> asyncio.Server:
    """An address is bound at once: uvloop would start threads to resolve it. Raises OSError."""
    loop = asyncio.get_running_loop()
    handshake = None if tls is None else HANDSHAKE_SECONDS
    if "%" in host or not _is_address(host):
        return await loop.create_server(factory, host, port, backlog=BACKLOG, ssl=tls, ssl_handshake_timeout=handshake)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.create_server((host, port), family=family)
    return await loop.create_server(factory, sock=bound, backlog=BACKLOG, ssl=tls, ssl_handshake_timeout=handshake)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _hide_client_faults() -> None:
    """Have requests that are no HTTP, and parts of uploads without a sound name, leave no trace in the log: the caller
    is answered, and an operator can do nothing about them."""
    logging.getLogger("aiohttp.server").addFilter(_is_ours)
    for kind in (BadContentDispositionHeader, BadContentDispositionParam):
        # Python remembers every warning that it has shown, and each of these has a text of the caller's.
        warnings.filterwarnings("ignore", category=kind)


def _is_ours(record: logging.LogRecord) -> bool:
    return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError)
