"""The network edge of an application."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial

import structlog
from aiohttp import web

from openhands_sessions import __version__
from openhands_sessions.adapters.models.catalogue import Catalogue, ModelChoice
from openhands_sessions.bootstrap.application import Application
from openhands_sessions.core.ids import LOCAL_OWNER
from openhands_sessions.ports.model import ModelSpec
from openhands_sessions.server.app import ServerSettings, build_app
from openhands_sessions.server.caller_rates import Rates
from openhands_sessions.server.pending_connections import PendingLimits
from openhands_sessions.server.services import Options, Services
from openhands_sessions.server.sockets.client_namespace import ClientDependencies, ClientLimits
from openhands_sessions.service.feedback import FeedbackStore
from openhands_sessions.service.model_health import ModelHealthCheck
from openhands_sessions.service.operator_control import OperatorControl

log = structlog.get_logger(__name__)

AGENT_NAMES = ("CodeActAgent", "ShellAgent")
"""As the V0 client names them; see `core.user_settings.AGENTS`."""
ANALYZERS = ("llm", "rules")
LONGEST_ANSWER = 32
"""Tokens of a model that is only asked whether it answers."""
PRELOAD_AFTER = 1.0
"""Seconds after the start, in which the clients of an earlier server come back."""


async def web_application(application: Application) -> web.Application:
    """The application's network edge; its clean-up closes the sessions."""
    server, metrics = application.config.server, application.config.metrics
    probe = _model_probe(application)
    edge = ServerSettings(
        services=_services(application, probe),
        clients=await _client_parts(application),
        allowed_origins=server.allowed_origins,
        allowed_hosts=server.allowed_hosts,
        any_host=application.auth.required and not application.auth.by_proxy,
        trusted_proxies=server.trusted_proxies,
        metrics_key=None if metrics.key is None else metrics.key.get_secret_value(),
        metrics_allow=metrics.allow,
        client_dir=server.client_dir,
        base_path=server.base_path,
        traces=application.config.telemetry.traces_endpoint is not None,
    )
    app = build_app(edge)
    app.on_cleanup.append(lambda app: probe.close())
    if (model := application.config.llm.model) is not None:
        app.cleanup_ctx.append(partial(_preloading, application.models, model))
    return app


async def _preloading(models: ModelChoice, name: str, app: web.Application) -> AsyncIterator[None]:
    """Load what the operator's model needs, soon after the start: the first conversation would wait for it."""
    preload = asyncio.create_task(_preload(models, name), name="preload")
    yield
    preload.cancel()
    await asyncio.wait([preload])


async def _preload(models: ModelChoice, name: str) -> None:
    await asyncio.sleep(PRELOAD_AFTER)
    begun = asyncio.get_running_loop().time()
    try:
        await models.preload(name)
    except Exception as error:  # of a library that may be anybody's
        log.warning("the model's library was not loaded beforehand; a conversation tries again", problem=str(error))
    else:
        log.debug("the model's library is loaded", seconds=round(asyncio.get_running_loop().time() - begun, 1))


def _model_probe(application: Application) -> ModelHealthCheck:
    llm = application.config.llm
    key = None if llm.api_key is None else llm.api_key.get_secret_value()
    spec = None
    if llm.model is not None:
        spec = ModelSpec(
            name=llm.model, base_url=llm.base_url, api_key=key, retries=0, max_output_tokens=LONGEST_ANSWER
        )
    return ModelHealthCheck(application.models, spec)


def _services(application: Application, probe: ModelHealthCheck) -> Services:
    config = application.config
    models = Catalogue(config.llm.model)
    return Services(
        access=application.access,
        operations=application.sessions,
        operators=OperatorControl(application.sessions),
        model_probe=probe,
        settings=application.settings,
        secrets=application.secrets,
        options=Options(agents=AGENT_NAMES, security_analyzers=ANALYZERS, models=models.names),
        auth=application.auth,
        version=__version__,
        feedback=FeedbackStore(application.files, lambda: datetime.now(UTC), _new_id),
        new_id=_new_id,
        trajectory_bytes=config.limits.trajectory_bytes,
        slow_client_grace=config.limits.slow_client_grace,
        started=asyncio.get_running_loop().time(),
        data_dir=config.data_dir,
    )


async def _client_parts(application: Application) -> ClientDependencies:
    limits = application.config.limits
    return ClientDependencies(
        access=application.access,
        files=application.files,
        agents=application.agents,
        defaults=await application.settings.merged(LOCAL_OWNER, {}),
        limits=ClientLimits(
            message_bytes=limits.message_bytes,
            unfinished_bytes=limits.unfinished_bytes,
            rates=Rates(
                messages_per_second=limits.messages_per_second,
                messages_burst=limits.messages_burst,
                creates_per_minute=limits.creates_per_minute,
                requests_per_second=limits.requests_per_second,
            ),
            slow_client_grace=limits.slow_client_grace,
            failed_logins_per_minute=limits.failed_logins_per_minute,
            pending=PendingLimits(
                seconds=limits.authentication_timeout,
                per_address=limits.unauthenticated_per_address,
                in_all=limits.unauthenticated_connections,
            ),
        ),
        version=__version__,
    )


def _new_id() -> str:
    return uuid.uuid4().hex
