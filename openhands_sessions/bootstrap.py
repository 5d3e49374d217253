"""Config → parts: the only file that knows ports and adapters at once."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from aiohttp import web

from openhands_sessions import __version__
from openhands_sessions.adapters.agents.model_agent import ModelAgents
from openhands_sessions.adapters.agents.shell import AgentChoice, ShellAgents
from openhands_sessions.adapters.confirmation_policy import ConfirmationMode
from openhands_sessions.adapters.files.local import LocalFiles
from openhands_sessions.adapters.files.sealed import SealedFiles
from openhands_sessions.adapters.mcp.lazy import LazyMcpServers
from openhands_sessions.adapters.models.catalogue import Catalogue, ModelChoice
from openhands_sessions.adapters.models.litellm import LiteLlmModels
from openhands_sessions.adapters.models.scripted import ScriptedModels
from openhands_sessions.adapters.openhands_installation import OpenHandsFolder
from openhands_sessions.adapters.runtimes.docker.container_spec import DockerSettings
from openhands_sessions.adapters.runtimes.local.runtimes import LocalLimits, LocalRuntimes
from openhands_sessions.adapters.session_key_auth import SessionKey
from openhands_sessions.adapters.stores.leases import Holder
from openhands_sessions.adapters.stores.sqlite import open_sqlite
from openhands_sessions.adapters.stores.sqlite_schema import probe_sqlite
from openhands_sessions.adapters.tools.editor import Editor
from openhands_sessions.adapters.tools.execution import Bash, Ipython
from openhands_sessions.adapters.tools.mcp import McpTool
from openhands_sessions.adapters.tools.notes import Finish, TaskTracker, Think
from openhands_sessions.adapters.window_condenser import WindowCondenser
from openhands_sessions.adapters.workspace_memory import WorkspaceMemory
from openhands_sessions.config.config import Config
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId
from openhands_sessions.ports.access import Access, Auth, Principal
from openhands_sessions.ports.files import FileStore
from openhands_sessions.ports.mcp import McpServers
from openhands_sessions.ports.runtime import Runtimes
from openhands_sessions.ports.sandboxes import Check, LastingRuntimes, Sandboxes
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.ports.workspaces import UploadLimits
from openhands_sessions.server.app import ServerSettings, build_app
from openhands_sessions.server.services import Options, Services
from openhands_sessions.server.sockets.client_namespace import ClientDependencies, ClientLimits
from openhands_sessions.service.expected_clients import ExpectedClients
from openhands_sessions.service.feedback import FeedbackStore
from openhands_sessions.service.importing import Importer
from openhands_sessions.service.initial_input import InitialInputStore
from openhands_sessions.service.local_access import LocalAccess
from openhands_sessions.service.secrets import SecretsStore
from openhands_sessions.service.session_registry import SessionRegistry
from openhands_sessions.service.session_service import SessionService
from openhands_sessions.service.settings import SettingsStore
from openhands_sessions.service.status_board import StatusBoard
from openhands_sessions.service.title_generation import TitleGenerator
from openhands_sessions.session.setup import Dependencies

OpenedStore = AbstractAsyncContextManager[SessionStore]
OpenedRuntimes = AbstractAsyncContextManager[Runtimes]


def _sqlite(config: Config) -> OpenedStore:
    folders = (_sandboxes(config), _docker_folder(config))
    begun = any(any(folder.glob("*/workspace")) for folder in folders)
    return open_sqlite(config.store.path or config.data_dir / "sessions.db", _holder(config), begun=begun)


@asynccontextmanager
async def _temporary(config: Config) -> AsyncIterator[SessionStore]:
    with TemporaryDirectory(prefix="openhands-sessions-") as folder:
        async with open_sqlite(Path(folder) / "sessions.db", _holder(config)) as store:
            yield store


def _holder(config: Config) -> Holder:
    node, ttl = config.store.node, config.store.lease_ttl
    return Holder(ttl=ttl) if node is None else Holder(node=node, ttl=ttl)


def _local(config: Config, store: SessionStore) -> OpenedRuntimes:
    limits = LocalLimits(
        command_timeout=config.agent.command_timeout, idle_timeout=config.runtime.executor_idle_timeout
    )
    return nullcontext(LocalRuntimes(_sandboxes(config), limits=limits))


def _docker(config: Config, store: SessionStore) -> AbstractAsyncContextManager[LastingRuntimes]:
    from openhands_sessions.adapters.runtimes.docker import runtimes as docker  # brings a library that is slow to load

    async def exists(sid: ConversationId) -> bool:
        return await store.conversations.get(sid) is not None

    address = config.docker.address
    return docker.open_docker(_docker_folder(config), _docker_settings(config), address=address, exists=exists)


def _docker_folder(config: Config) -> Path:
    # Not where the local kind keeps its own: an executor that still runs there must not be taken for a container's.
    return _sandboxes(config) / "docker"


def _docker_settings(config: Config) -> DockerSettings:
    section = config.docker
    return DockerSettings(
        image=section.image,
        pull=section.pull,
        runtime=section.runtime,
        user=section.user,
        network=section.network,
        firewall_image=section.firewall_image,
        memory=section.memory_mb << 20,
        cpus=section.cpus,
        processes=section.processes,
        open_files=section.open_files,
        file_size=section.file_mb << 20,
        temporary_size=section.temporary_mb << 20,
        workspace_size=section.workspace_mb << 20,
        warm=section.warm,
        pause_after=section.pause_after,
        remove_after=section.remove_after,
        keep_workspace=section.keep_workspace,
        command_timeout=config.agent.command_timeout,
    )


def _sandboxes(config: Config) -> Path:
    return config.runtime.path or config.data_dir / "runtimes"


STORES: Mapping[str, Callable[[Config], OpenedStore]] = {"sqlite": _sqlite, "memory": _temporary}
AGENT_NAMES = ("CodeActAgent", "ShellAgent")
"""As the V0 client names them; see `core.user_settings.AGENTS`."""
ANALYZERS = ("llm", "rules")
RUNTIMES: Mapping[str, Callable[[Config, SessionStore], OpenedRuntimes]] = {"local": _local, "docker": _docker}


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
    agents: AgentChoice
    auth: Auth

    @property
    def local(self) -> Access:
        """The ports of the machine's own user."""
        return self.access.of(Principal(owner=LOCAL_OWNER, operator=True))


@asynccontextmanager
async def open_application(
    config: Config,
    *,
    stores: Mapping[str, Callable[[Config], OpenedStore]] = STORES,
    runtimes: Mapping[str, Callable[[Config, SessionStore], OpenedRuntimes]] = RUNTIMES,
) -> AsyncIterator[Application]:
    """Open what the configuration names; the end of the block closes every session first. `stores` and `runtimes` are
    the kinds to choose from. Raises OSError, SessionsError."""
    config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(stores[config.store.kind](config))
        providers = await stack.enter_async_context(LiteLlmModels())
        models = ModelChoice(ScriptedModels(config.data_dir / "scripts"), providers)
        agents = AgentChoice({"default": ModelAgents(models), "shell": ShellAgents()})
        sandboxes = await stack.enter_async_context(runtimes[config.runtime.kind](config, store))
        parts = _parts(store, sandboxes, agents)
        server = config.server
        registry = _registry(config, parts)
        stack.push_async_callback(registry.close_all, "shutdown")
        files = LocalFiles(config.data_dir / "files")
        encryption = server.encryption_key
        sealed = SealedFiles(files, None if encryption is None else encryption.get_secret_value())
        settings = SettingsStore(sealed, layers(config))
        titles = TitleGenerator(store, registry.retitled)
        stack.push_async_callback(titles.close)
        given, expected = InitialInputStore(sealed), ExpectedClients(files, store)
        local = config.runtime.local_repositories
        sessions = SessionService(
            store, registry, settings, given, parts.clock, expected=expected, local_repositories=local, titles=titles
        )
        key = server.session_api_key
        yield Application(
            config=config,
            store=store,
            access=LocalAccess(sessions, parts.runtimes, parts.memory, _upload_limits(config)),
            sessions=sessions,
            settings=settings,
            secrets=SecretsStore(sealed),
            files=files,
            agents=agents,
            auth=SessionKey(None if key is None else key.get_secret_value()),
        )


def _registry(config: Config, parts: Dependencies) -> SessionRegistry:
    server = config.server
    return SessionRegistry(parts, StatusBoard(), max_sessions=server.max_sessions, idle_timeout=server.idle_timeout)


def _upload_limits(config: Config) -> UploadLimits:
    return UploadLimits(file_bytes=config.limits.upload_bytes, files=config.limits.upload_files)


def _load_mcp() -> McpServers:
    from openhands_sessions.adapters.mcp import sdk  # an extra, and slow to load

    return sdk.SdkMcpServers()


def _parts(store: SessionStore, runtimes: Runtimes, agents: AgentChoice) -> Dependencies:
    return Dependencies(
        store=store,
        runtimes=runtimes,
        agents=agents,
        memory=WorkspaceMemory(),
        tools=(Bash(), Editor(), Think(), Finish(), TaskTracker()),
        ipython=Ipython(),
        mcp=LazyMcpServers(_load_mcp),
        mcp_tool=McpTool,
        policy=ConfirmationMode(),
        condenser=WindowCondenser(),
        clock=lambda: datetime.now(UTC),
        version=__version__,
    )


def layers(config: Config) -> Sequence[Mapping[str, Json]]:
    """The operator's layers of a conversation's settings: LLM, then agent."""
    key = config.llm.api_key
    llm: dict[str, Json] = {
        "llm_model": config.llm.model,
        "llm_base_url": config.llm.base_url,
        "llm_api_key": None if key is None else key.get_secret_value(),
        "llm_timeout": config.llm.timeout,
        "llm_retries": config.llm.retries,
    }
    agent = config.agent.model_dump(mode="json")
    return (llm, {("agent" if name == "kind" else name): value for name, value in agent.items()})


async def web_application(application: Application) -> web.Application:
    """The application's network edge; its clean-up closes the sessions."""
    server = application.config.server
    edge = ServerSettings(
        services=_services(application),
        clients=await _client_parts(application),
        allowed_origins=server.allowed_origins,
        allowed_hosts=server.allowed_hosts,
        any_host=application.auth.required,
        client_dir=server.client_dir,
    )
    return build_app(edge)


def _services(application: Application) -> Services:
    config = application.config
    models = Catalogue(config.llm.model)
    return Services(
        access=application.access,
        operations=application.sessions,
        settings=application.settings,
        secrets=application.secrets,
        options=Options(agents=AGENT_NAMES, security_analyzers=ANALYZERS, models=models.names),
        auth=application.auth,
        version=__version__,
        feedback=FeedbackStore(application.files, lambda: datetime.now(UTC), _new_id),
        new_id=_new_id,
        trajectory_bytes=config.limits.trajectory_bytes,
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
            messages_per_second=limits.messages_per_second,
            messages_burst=limits.messages_burst,
            slow_client_grace=limits.slow_client_grace,
        ),
        version=__version__,
    )


def _new_id() -> str:
    return uuid.uuid4().hex


def remote(url: str, session_api_key: str | None) -> AbstractAsyncContextManager[Access]:
    """Another server, reached over the network. Raises BadInput for what is no address."""
    from openhands_sessions.adapters.gateways import remote as another  # a server needs none of its libraries

    return another.open_remote(url, session_api_key)


@asynccontextmanager
async def open_sandboxes(config: Config) -> AsyncIterator[Sandboxes]:
    """What the data folder's server has made of sandboxes. Raises BadInput for a kind that keeps no list of them,
    StorageError, OSError."""
    if config.runtime.kind != "docker":
        raise BadInput("runtime.kind", "must be docker: other sandboxes are processes, which end by themselves")
    async with STORES[config.store.kind](config) as store, _docker(config, store) as runtimes:
        yield runtimes


@asynccontextmanager
async def open_importer(config: Config, folder: Path) -> AsyncIterator[Importer]:
    """What takes another installation's conversations into the data folder. Raises BadInput for a kind of store that
    does not last, StorageError, OSError."""
    if config.store.kind == "memory":
        raise BadInput("store.kind", "must be one that lasts: what is imported into memory is gone at once")
    config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    async with STORES[config.store.kind](config) as store:
        yield Importer(store, OpenHandsFolder(folder), LOCAL_OWNER, None)


async def probe_docker(config: Config) -> Sequence[Check]:
    """Check what Docker sandboxes need, up to the first vital check that fails. Raises OSError."""
    from openhands_sessions.adapters.runtimes.docker.check import check_docker

    return await check_docker(_docker_folder(config), _docker_settings(config), address=config.docker.address)


def probe_store(folder: Path) -> str:
    """What the database needs of this machine: its version, where all is well. Raises StorageUnavailable."""
    return probe_sqlite(folder)
