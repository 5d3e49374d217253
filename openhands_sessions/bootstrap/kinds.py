"""The kinds of stores, sandboxes and authentication that a configuration may name, and how each is opened."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from openhands_sessions import __version__
from openhands_sessions.adapters import installed
from openhands_sessions.adapters.archives.folder import FolderArchive
from openhands_sessions.adapters.audit_file import open_audit_file
from openhands_sessions.adapters.auths.open import OpenAuth
from openhands_sessions.adapters.auths.session_key import SessionKey
from openhands_sessions.adapters.auths.shared_links import LazyLinkTokens, SharedLinks
from openhands_sessions.adapters.runtimes.docker.container_spec import PROBE_PREFIX, WARM_PREFIX, DockerSettings
from openhands_sessions.adapters.runtimes.local.runtimes import LocalLimits, LocalRuntimes
from openhands_sessions.adapters.stores.file_changes import FileChanges
from openhands_sessions.adapters.stores.leases import Holder
from openhands_sessions.adapters.stores.sqlite import open_sqlite
from openhands_sessions.adapters.stores.sqlite_check import check_sqlite
from openhands_sessions.adapters.stores.sqlite_schema import probe_sqlite
from openhands_sessions.adapters.stores.write_ahead_log import kept_logs
from openhands_sessions.config.config import Config
from openhands_sessions.config.errors import ConfigError
from openhands_sessions.config.session_key import LINK_FILE, make_key
from openhands_sessions.core.errors import BadInput, StorageUnavailable
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.access import Auth
from openhands_sessions.ports.audit import AuditLog
from openhands_sessions.ports.foreign_writes import ForeignWrites
from openhands_sessions.ports.runtime import Runtimes
from openhands_sessions.ports.sandboxes import Check, LastingRuntimes
from openhands_sessions.ports.sharing import LinkTokens
from openhands_sessions.ports.store import SessionStore, StoreOptions, StoreReport
from openhands_sessions.ports.tracing import Tracer
from openhands_sessions.ports.trajectories import TrajectoryArchive

OpenedStore = AbstractAsyncContextManager[SessionStore]
OpenedRuntimes = AbstractAsyncContextManager[Runtimes]


def _sqlite(config: Config) -> OpenedStore:
    folders = (sandboxes(config), _docker_folder(config))
    # A sandbox that waits for a conversation says nothing of the database.
    workspaces = (each.parent.name for folder in folders for each in folder.glob("*/workspace"))
    begun = any(not name.startswith((WARM_PREFIX, PROBE_PREFIX)) for name in workspaces)
    return open_sqlite(database(config), _holder(config), begun=begun)


def database(config: Config) -> Path:
    return config.store.path or config.data_dir / "sessions.db"


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
    return nullcontext(LocalRuntimes(sandboxes(config), limits=limits))


def open_docker_kind(config: Config, store: SessionStore) -> AbstractAsyncContextManager[LastingRuntimes]:
    from openhands_sessions.adapters.runtimes.docker import runtimes as docker  # brings a library that is slow to load

    async def exists(sid: ConversationId) -> bool:
        return await store.conversations.get(sid) is not None

    address = config.docker.address
    return docker.open_docker(_docker_folder(config), _docker_settings(config), address=address, exists=exists)


def _docker_folder(config: Config) -> Path:
    # Not where the local kind keeps its own: an executor that still runs there must not be taken for a container's.
    return sandboxes(config) / "docker"


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


def sandboxes(config: Config) -> Path:
    return config.runtime.path or config.data_dir / "runtimes"


MISSING_OTEL = "which is missing: add it with `pip install openhands-sessions[otel]`"
MISSING_ARCHIVE = "which is missing: add it with `pip install openhands-sessions[archive]`"
STORES: Mapping[str, Callable[[Config], OpenedStore]] = {"sqlite": _sqlite, "memory": _temporary}
RUNTIMES: Mapping[str, Callable[[Config, SessionStore], OpenedRuntimes]] = {"local": _local, "docker": open_docker_kind}


def open_store(config: Config, stores: Mapping[str, Callable[[Config], OpenedStore]] = STORES) -> OpenedStore:
    """The store of the configured kind, which is built in or installed. Raises BadInput for an unknown one."""
    section = config.store
    if (built_in := stores.get(section.kind)) is not None:
        return built_in(config)
    opening: OpenedStore = installed.load_kind(installed.STORES, section.kind, "store.kind", tuple(stores))(
        StoreOptions(
            data_dir=config.data_dir,
            url=None if section.url is None else section.url.get_secret_value(),
            path=section.path,
            node=section.node,
            lease_ttl=section.lease_ttl,
        )
    )
    return opening


def foreign_writes(config: Config) -> ForeignWrites | None:
    """What tells of writes of other processes; None where the kind of store has nothing that does."""
    return FileChanges(database(config)) if config.store.kind == "sqlite" else None


async def probe_docker(config: Config) -> Sequence[Check]:
    """Check what Docker sandboxes need, up to the first vital check that fails. Raises OSError."""
    from openhands_sessions.adapters.runtimes.docker.check import check_docker

    return await check_docker(_docker_folder(config), _docker_settings(config), address=config.docker.address)


def check_store(config: Config) -> StoreReport:
    """Look through all that is stored; no server may have it open. Raises StorageError, BadInput for another kind."""
    if config.store.kind != "sqlite":
        raise BadInput("store.kind", "must be sqlite: other stores are checked by their own programs")
    return check_sqlite(database(config))


def lost_commits(config: Config) -> Sequence[str]:
    """The names of the files with commits that were lost."""
    return [log.name for log in kept_logs(database(config))]


def probe_store(folder: Path) -> str:
    """What the database needs of this machine: its version, where all is well. Raises StorageUnavailable."""
    return probe_sqlite(folder)


@asynccontextmanager
async def open_audit(config: Config) -> AsyncIterator[AuditLog | None]:
    """The audit log; None where none is wanted. Raises OSError."""
    section = config.audit
    if not section.enabled:
        yield None
        return
    path = section.path or config.data_dir / "audit.jsonl"
    async with open_audit_file(path, file_bytes=section.file_bytes, files=section.files) as audit:
        yield audit


def open_tracer(config: Config) -> AbstractAsyncContextManager[Tracer | None]:
    """What sends traces; None where none are wanted. Raises BadInput where the extra is missing."""
    section = config.telemetry
    if section.traces_endpoint is None:
        return nullcontext()
    try:
        from openhands_sessions.adapters import otlp_tracer  # an extra, and slow to load
    except ImportError as error:
        raise BadInput("telemetry.traces_endpoint", f"needs the extra otel, {MISSING_OTEL}") from error
    key = None if section.traces_key is None else section.traces_key.get_secret_value()
    return otlp_tracer.open_tracer(section.traces_endpoint, key, ratio=section.traces_ratio, version=__version__)


def open_archive(config: Config) -> TrajectoryArchive | None:
    """Where trajectories are saved; None where none are. Raises BadInput where a library is missing."""
    section, options = config.trajectories, archive_options(config)
    if section.save_to is None:
        return None
    if "://" not in section.save_to:
        return FolderArchive(Path(section.save_to).expanduser().absolute())
    try:
        from openhands_sessions.adapters.archives import remote  # an extra, and slow to load
    except ImportError as error:
        raise BadInput("trajectories.save_to", f"needs the extra archive, {MISSING_ARCHIVE}") from error
    if not section.save_to.startswith("hf://datasets/"):
        return remote.RemoteArchive(section.save_to, options, config.data_dir)
    from openhands_sessions.adapters.archives import hugging_face  # as slow

    dataset = hugging_face.PrivateDataset(section.save_to, options)
    return remote.RemoteArchive(section.save_to, options, config.data_dir, dataset)


def archive_options(config: Config) -> Mapping[str, Any]:
    options = config.trajectories.options
    found: Mapping[str, Any] = {} if options is None else json.loads(options.get_secret_value())
    return found


def link_tokens(config: Config) -> LinkTokens:
    """What signs links to shared conversations, with a key that is made in the data folder when it is first needed."""

    def load() -> LinkTokens:
        from openhands_sessions.adapters.auths import link_tokens as signed  # brings a library that is slow to load

        try:
            return signed.SignedLinks(make_key(config.data_dir, LINK_FILE).encode())
        except (OSError, ConfigError) as error:
            raise StorageUnavailable(f"{LINK_FILE}, which signs links, cannot be read or made: {error}") from error

    return LazyLinkTokens(load)


@asynccontextmanager
async def open_auth(config: Config, links: LinkTokens) -> AsyncIterator[Auth]:
    """The configured kind, and beside it the links that `links` has signed. Raises as `configured_auth`."""
    async with configured_auth(config) as auth:
        yield SharedLinks(auth, links)


def configured_auth(config: Config) -> AbstractAsyncContextManager[Auth]:
    """Where a key is needed and none is configured, `serve` has made one; without it every caller is refused. Raises
    BadInput for keys that cannot be used."""
    match config.auth.kind:
        case "tokens":
            from openhands_sessions.bootstrap import tokens  # brings a library that is slow to load

            return tokens.signed_tokens(config).noticing()
        case "trusted_header":
            from openhands_sessions.adapters.auths import trusted_header
            from openhands_sessions.server.forwarding import TrustedProxies  # brings the web server's library

            is_proxy = TrustedProxies(config.auth.proxies).__contains__
            return nullcontext(trusted_header.TrustedHeader(is_proxy, config.auth.header, config.auth.role_header))
        case _ if config.is_open:
            return nullcontext(OpenAuth())
        case _:
            key = config.server.session_api_key
            return nullcontext(SessionKey("" if key is None else key.get_secret_value()))
