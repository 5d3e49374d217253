"""Configuration to parts: with `kinds`, the only place that knows ports and adapters at once."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType

import structlog
from pydantic import SecretStr

from openhands_sessions import __version__
from openhands_sessions.adapters.agents.model_agent import ModelAgents
from openhands_sessions.adapters.agents.shell import AgentChoice, ShellAgents
from openhands_sessions.adapters.confirmation_policy import ConfirmationMode
from openhands_sessions.adapters.files.local import LocalFiles
from openhands_sessions.adapters.files.sealed import SealedFiles
from openhands_sessions.adapters.installed import InstalledModels
from openhands_sessions.adapters.mcp.lazy import LazyMcpServers
from openhands_sessions.adapters.mcp.state_tool import StateTool
from openhands_sessions.adapters.models.catalogue import ModelChoice
from openhands_sessions.adapters.models.litellm import LiteLlmModels
from openhands_sessions.adapters.models.scripted import ScriptedModels
from openhands_sessions.adapters.tools.delegate import tool_of
from openhands_sessions.adapters.tools.editor import Editor
from openhands_sessions.adapters.tools.execution import Bash, Ipython
from openhands_sessions.adapters.tools.notes import Finish, TaskTracker, Think
from openhands_sessions.adapters.window_condenser import WindowCondenser
from openhands_sessions.adapters.workspace_memory import WorkspaceMemory
from openhands_sessions.bootstrap.kinds import (
    RUNTIMES,
    STORES,
    OpenedRuntimes,
    OpenedStore,
    foreign_writes,
    link_tokens,
    open_archive,
    open_audit,
    open_auth,
    open_docker_kind,
    open_store,
    open_tracer,
)
from openhands_sessions.config.config import Config
from openhands_sessions.config.environment import to_mask
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import LOCAL_OWNER
from openhands_sessions.core.measurements import Measurements
from openhands_sessions.core.money import micro_dollars
from openhands_sessions.core.quotas import Quota
from openhands_sessions.ports.access import Access, Auth, Principal, Role
from openhands_sessions.ports.files import FileStore
from openhands_sessions.ports.mcp import McpServers, McpTools
from openhands_sessions.ports.model import ModelSpec
from openhands_sessions.ports.operations import OperatorAccess, SessionLimits
from openhands_sessions.ports.runtime import Runtimes
from openhands_sessions.ports.sandboxes import Sandboxes
from openhands_sessions.ports.sharing import LinkTokens
from openhands_sessions.ports.state import AgentStates, States
from openhands_sessions.ports.store import SessionStore, StoredLimits
from openhands_sessions.ports.trajectories import TrajectoryArchive
from openhands_sessions.ports.workspaces import UploadLimits
from openhands_sessions.service.expected_clients import ExpectedClients
from openhands_sessions.service.initial_input import InitialInputStore
from openhands_sessions.service.local_access import LocalAccess
from openhands_sessions.service.local_sharing import LocalSharing
from openhands_sessions.service.local_states import LocalStates
from openhands_sessions.service.local_usage import LocalUsage
from openhands_sessions.service.secrets import SecretsStore
from openhands_sessions.service.session_registry import SessionRegistry
from openhands_sessions.service.session_service import ConversationLimits, SessionService
from openhands_sessions.service.settings import SettingsStore
from openhands_sessions.service.state_checks import StateChecks
from openhands_sessions.service.state_files import StateFiles
from openhands_sessions.service.state_news import StateNews
from openhands_sessions.service.status_board import StatusBoard
from openhands_sessions.service.title_generation import TitleGenerator
from openhands_sessions.service.trajectory_export import to_be_saved
from openhands_sessions.service.trajectory_saving import TrajectorySaver
from openhands_sessions.session.dependencies import Dependencies

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Application:
    """Everything that one process runs, open."""

    config: Config
    store: SessionStore
    access: LocalAccess
    sessions: SessionService
    settings: SettingsStore
    secrets: SecretsStore
    files: FileStore
    models: ModelChoice
    agents: AgentChoice
    auth: Auth
    state_news: StateNews

    @property
    def local(self) -> Access:
        """The ports of the machine's own user."""
        return self.access.of(Principal(owner=LOCAL_OWNER, role=Role.ADMIN))


@asynccontextmanager
async def open_application(
    config: Config,
    provider_keys: Mapping[str, SecretStr] = MappingProxyType({}),
    *,
    stores: Mapping[str, Callable[[Config], OpenedStore]] = STORES,
    runtimes: Mapping[str, Callable[[Config, SessionStore], OpenedRuntimes]] = RUNTIMES,
    archive: Callable[[Config], TrajectoryArchive | None] = open_archive,
) -> AsyncIterator[Application]:
    """Open what the configuration names; the end of the block closes every session first. `provider_keys` are what
    models get, by the names of variables; others stay to be read from the environment, which is left as it is. `stores`
    and `runtimes` are the kinds to choose from, `archive` opens where trajectories are saved. Raises OSError,
    SessionsError."""
    config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    async with AsyncExitStack() as stack:
        links = link_tokens(config)
        auth = await stack.enter_async_context(open_auth(config, links))
        store = await stack.enter_async_context(open_store(config, stores))
        models = await _models(config, stack, provider_keys)
        agents = AgentChoice({"default": ModelAgents(models), "shell": ShellAgents()})
        opened = await stack.enter_async_context(runtimes[config.runtime.kind](config, store))
        tracer = await stack.enter_async_context(open_tracer(config))
        parts = replace(_parts(config, store, opened, agents, provider_keys), tracer=tracer)
        parts = _with_states(parts, lambda principal: states(principal))
        files = LocalFiles(config.data_dir / "files")
        sealed = SealedFiles(files, _text(config.server.encryption_key))
        settings = SettingsStore(sealed, layers(config))
        given, expected = InitialInputStore(sealed), ExpectedClients(files, store)
        sessions = await _sessions(config, stack, parts, (settings, given, expected), archive(config))
        news = StateNews(foreign_writes(config))
        apart = config.tells_users_apart
        states = partial(LocalStates, sessions, StateFiles(sealed), news, checks=StateChecks(), users_apart=apart)
        yield Application(
            config=config,
            store=store,
            access=_access(config, sessions, parts, links, states),
            sessions=sessions,
            settings=settings,
            secrets=SecretsStore(sealed, sessions.refresh),
            files=files,
            models=models,
            agents=agents,
            auth=auth,
            state_news=news,
        )


async def _sessions(
    config: Config,
    stack: AsyncExitStack,
    parts: Dependencies,
    kept: tuple[SettingsStore, InitialInputStore, ExpectedClients],
    archive: TrajectoryArchive | None,
) -> SessionService:
    """The sessions, and what works beside them."""
    audit = await stack.enter_async_context(open_audit(config))
    saver = None if archive is None else TrajectorySaver(parts.store, archive, parts.clock, parts.measurements)
    registry = _registry(config, parts if saver is None else replace(parts, owe=saver.owe))
    stack.push_async_callback(registry.close_all, "shutdown")
    titles = TitleGenerator(parts.store, registry.retitled)
    stack.push_async_callback(titles.close)
    settings, given, expected = kept
    limits = _conversation_limits(config)
    sessions = SessionService(
        parts.store,
        registry,
        settings,
        given,
        parts.clock,
        expected=expected,
        limits=limits,
        titles=titles,
        audit=audit,
    )
    settings.changed = sessions.refresh
    if saver is not None:
        await stack.enter_async_context(saver.running(partial(to_be_saved, sessions)))
    return sessions


def _access(
    config: Config,
    sessions: SessionService,
    parts: Dependencies,
    links: LinkTokens,
    states: Callable[[Principal], States],
) -> LocalAccess:
    limits = UploadLimits(file_bytes=config.limits.upload_bytes, files=config.limits.upload_files)
    usage = partial(LocalUsage, parts.store.accounts, parts.quotas, parts.clock)
    sharing = partial(LocalSharing, sessions, links, users_apart=config.tells_users_apart)
    return LocalAccess(sessions, parts.runtimes, parts.memory, limits, usage=usage, sharing=sharing, states=states)


def _registry(config: Config, parts: Dependencies) -> SessionRegistry:
    return SessionRegistry(
        parts,
        StatusBoard(),
        limits=_session_limits(config),
        idle_timeout=config.server.idle_timeout,
        foreign_writes=foreign_writes(config),
    )


def _conversation_limits(config: Config) -> ConversationLimits:
    stored = StoredLimits(config.server.max_conversations_per_user, config.server.max_stored_bytes_per_user)
    return ConversationLimits(stored, config.runtime.local_repositories)


def _session_limits(config: Config) -> SessionLimits:
    server = config.server
    if not config.tells_users_apart:
        return SessionLimits(total=server.max_sessions)
    return SessionLimits(
        total=server.max_sessions, per_user=server.max_sessions_per_user, per_address=server.max_sessions_per_address
    )


async def _models(
    config: Config, stack: AsyncExitStack, provider_keys: Mapping[str, SecretStr] = MappingProxyType({})
) -> ModelChoice:
    keys = {name: key.get_secret_value() for name, key in provider_keys.items()}
    providers = await stack.enter_async_context(LiteLlmModels(keys=keys))
    installed = await stack.enter_async_context(InstalledModels())
    return ModelChoice(ScriptedModels(config.data_dir / "scripts"), providers, installed.family)


async def probe_model(config: Config, name: str) -> None:
    """Open a model as a conversation does, without asking it anything. Raises ModelFailure, BadInput."""
    async with AsyncExitStack() as stack:
        models = await _models(config, stack)
        key = _text(config.llm.api_key)
        await models.open(ModelSpec(name=name, base_url=config.llm.base_url, api_key=key))


def _text(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _load_mcp() -> McpServers:
    from openhands_sessions.adapters.mcp import sdk  # an extra, and slow to load

    return sdk.SdkMcpServers()


def _own_secrets(config: Config, provider_keys: Mapping[str, SecretStr]) -> Sequence[str]:
    server = config.server
    own = (server.session_api_key, server.encryption_key, config.auth.secret, config.llm.api_key, config.store.url)
    return [
        text
        for secret in (*own, config.metrics.key, config.telemetry.traces_key, *to_mask(provider_keys))
        if (text := _text(secret))
    ]


def quotas(config: Config) -> Sequence[Quota]:
    """What each user's model calls may take on one day."""
    return [
        Quota(
            models=each.models,
            tokens=each.tokens,
            micro_dollars=None if each.dollars is None else micro_dollars(each.dollars),
            conversations=each.conversations,
        )
        for each in config.quotas
    ]


def _with_states(parts: Dependencies, states: Callable[[Principal], States]) -> Dependencies:
    """The parts, whose agents may see states. States stand on the sessions that are made of the parts: they are asked
    for when a session is set up."""

    def tool(seen: AgentStates) -> McpTools:
        return StateTool(states(Principal(owner=seen.owner, role=Role.USER)), seen)

    return replace(parts, state_tool=tool)


def _parts(
    config: Config, store: SessionStore, runtimes: Runtimes, agents: AgentChoice, provider_keys: Mapping[str, SecretStr]
) -> Dependencies:
    return Dependencies(
        measurements=Measurements(config.llm.model),
        quotas=quotas(config),
        store=store,
        runtimes=runtimes,
        agents=agents,
        memory=WorkspaceMemory(),
        tools=(Bash(), Editor(), Think(), Finish(), TaskTracker()),
        ipython=Ipython(),
        mcp=LazyMcpServers(_load_mcp),
        mcp_tool=tool_of,
        policy=ConfirmationMode(),
        condenser=WindowCondenser(),
        clock=lambda: datetime.now(UTC),
        version=__version__,
        secrets=_own_secrets(config, provider_keys),
    )


def layers(config: Config) -> Sequence[Mapping[str, Json]]:
    """The operator's layers of a conversation's settings: LLM, then agent."""
    llm: dict[str, Json] = {
        "llm_model": config.llm.model,
        "llm_base_url": config.llm.base_url,
        "llm_api_key": _text(config.llm.api_key),
        "llm_timeout": config.llm.timeout,
        "llm_retries": config.llm.retries,
    }
    agent = config.agent.model_dump(mode="json")
    return (llm, {("agent" if name == "kind" else name): value for name, value in agent.items()})


def new_login_token(url: str, session_api_key: str | None) -> Awaitable[str | None]:
    """What logs a browser in at a server, once; None where no key is needed. Raises BadInput, SessionsError."""
    from openhands_sessions.adapters.gateways import remote as another

    return another.new_login_token(url, session_api_key)


def remote(url: str, session_api_key: str | None) -> AbstractAsyncContextManager[Access]:
    """Another server, reached over the network. Raises BadInput for what is no address."""
    from openhands_sessions.adapters.gateways import remote as another  # a server needs none of its libraries

    return another.open_remote(url, session_api_key)


def operator(url: str, session_api_key: str | None) -> AbstractAsyncContextManager[OperatorAccess]:
    """Another server, reached by one of its operators. Raises BadInput for what is no address, SessionsError."""
    from openhands_sessions.adapters.gateways import remote_operator

    return remote_operator.open_operator(url, session_api_key)


@asynccontextmanager
async def open_sandboxes(config: Config) -> AsyncIterator[Sandboxes]:
    """What the data folder's server has made of sandboxes. Raises BadInput for a kind that keeps no list of them,
    StorageError, OSError."""
    if config.runtime.kind != "docker":
        raise BadInput("runtime.kind", "must be docker: other sandboxes are processes, which end by themselves")
    async with open_store(config) as store, open_docker_kind(config, store) as runtimes:
        yield runtimes
