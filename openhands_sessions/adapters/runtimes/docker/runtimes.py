"""Sandboxes that are containers of a Docker engine."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

from openhands_sessions.adapters.runtimes.docker.container_spec import INSTANCE, DockerSettings
from openhands_sessions.adapters.runtimes.docker.engine import DockerEngine
from openhands_sessions.adapters.runtimes.docker.factory import DockerContext, make_context
from openhands_sessions.adapters.runtimes.docker.lifecycle import ContainerLifecycle
from openhands_sessions.adapters.runtimes.docker.pool import ContainerPool
from openhands_sessions.adapters.runtimes.docker.reaper import ContainerReaper, ConversationExists
from openhands_sessions.adapters.runtimes.docker.size_guard import SizeGuard
from openhands_sessions.adapters.runtimes.docker.starter import ContainerStarter
from openhands_sessions.adapters.runtimes.docker.volumes import executor_volume
from openhands_sessions.adapters.runtimes.executor_client.connection import ExecutorConnection
from openhands_sessions.adapters.runtimes.executor_client.files import FolderFiles
from openhands_sessions.adapters.runtimes.executor_client.journal import JournalIdentity
from openhands_sessions.adapters.runtimes.executor_client.runtime import ExecutorEnded, ExecutorRuntime
from openhands_sessions.adapters.runtimes.local.paths import SandboxPaths
from openhands_sessions.adapters.runtimes.threads import ThreadLimiter
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.core.ids import ConversationId, folder_name
from openhands_sessions.executor.workspace import WorkspaceFolder
from openhands_sessions.ports.runtime import (
    CommandDone,
    EditDone,
    Lost,
    OnOutput,
    Outcome,
    Runtime,
    RuntimeSpec,
    Task,
    UnknownAction,
)
from openhands_sessions.ports.sandboxes import SandboxInfo

IPYTHON_LABEL = "openhands-sessions.ipython"
_THREADS = 8
_MEASUREMENTS = 2
"""How many sandboxes are measured at once."""
_UPKEEP_DELAY, _UPKEEP_PERIOD = 2.0, 300.0
"""Seconds until the first upkeep, which a short-lived command on the same data folder leaves to the server; and between
two."""
_INSTANCE_FILE = "instance"


async def _all_exist(sid: ConversationId) -> bool:
    return True


@contextlib.asynccontextmanager
async def open_docker(
    root: Path, settings: DockerSettings, *, address: str | None = None, exists: ConversationExists = _all_exist
) -> AsyncIterator["DockerRuntimes"]:
    """The sandboxes below a folder. The end of the block leaves the containers, paused unless they are at work. The
    engine need not run yet. `exists` tells whether there is such a conversation. Raises OSError."""
    limiter = ThreadLimiter(_THREADS)
    instance = await limiter.run(_read_instance, root)
    engine = DockerEngine(address)
    runtimes = DockerRuntimes(root, await make_context(root, settings, engine, limiter, instance), exists)
    upkeep = asyncio.create_task(runtimes.run_upkeep(), name="sandbox upkeep")
    try:
        yield runtimes
    finally:
        upkeep.cancel()
        await asyncio.wait([upkeep])
        await runtimes.close()
        await engine.close()


class DockerRuntimes:
    """One container per conversation that needs one, and one folder below `root` per conversation."""

    isolated = True

    def __init__(self, root: Path, context: DockerContext, exists: ConversationExists) -> None:
        self.instance = context.instance
        self.counts = context.counts
        self._root = root
        self._context = context
        self._engine = context.engine
        self._lifecycles: dict[ConversationId, ContainerLifecycle] = {}
        self._measuring = asyncio.Semaphore(_MEASUREMENTS)
        warm = context.settings.warm if context.engine.local else 0  # folders can be moved, volumes cannot
        self._pool = ContainerPool(context, root, warm)
        self._reaper = ContainerReaper(context, root, self.lifecycle, exists)

    @contextlib.asynccontextmanager
    async def open(self, spec: RuntimeSpec) -> AsyncIterator[Runtime]:
        await self._engine.ping()
        self._context.network.prepare()
        lifecycle = self.lifecycle(spec.sid)
        runtime = DockerRuntime(spec, lifecycle, self._context)
        try:
            async with lifecycle.open():
                yield runtime
        finally:
            self._forget(lifecycle)
            await runtime.close()

    async def has_ipython(self) -> bool:
        """As the image's label says: to look inside would take a container."""
        try:
            return (await self._engine.labels_of(self._context.settings.image)).get(IPYTHON_LABEL) == "true"
        except RuntimeUnavailable:
            return False

    async def discard(self, sid: ConversationId) -> None:
        lifecycle = self.lifecycle(sid)
        try:
            await lifecycle.discard()
        finally:
            self._forget(lifecycle)

    async def survey(self) -> Sequence[SandboxInfo]:
        return await self._reaper.survey()

    async def reap(self) -> Sequence[SandboxInfo]:
        return await self._reaper.reap()

    async def run_upkeep(self) -> None:
        """Fill the pool, reap, and renew the network, periodically until cancelled."""
        await asyncio.sleep(_UPKEEP_DELAY)
        while True:
            self._pool.open()
            await self._reaper.try_to_reap()
            await self._context.network.renew()
            await asyncio.sleep(_UPKEEP_PERIOD)

    async def warm_up(self) -> None:
        """Fill the pool of warm containers. Raises RuntimeUnavailable, OSError."""
        await self._pool.fill()

    def lifecycle(self, sid: ConversationId) -> ContainerLifecycle:
        lifecycle = self._lifecycles.get(sid)
        if lifecycle is None:
            settings = self._context.settings
            paths = SandboxPaths(self._root / folder_name(sid), settings.owner)
            starter = ContainerStarter(self._context, self._pool, sid, paths)
            size = starter.storage.size
            guard = SizeGuard(size, settings.workspace_size, self._measuring, every=settings.look_every)
            lifecycle = ContainerLifecycle(self._context, sid, starter, guard, self._forget)
            self._lifecycles[sid] = lifecycle
        return lifecycle

    async def clear(self) -> Sequence[SandboxInfo]:
        await self._pool.close()
        sandboxes = await self._reaper.survey()
        for sandbox in sandboxes:
            await self._engine.remove(sandbox.name)
        for volume in await self._engine.volumes(f"{INSTANCE}={self.instance}"):
            if volume.startswith(executor_volume(self.instance, "")):
                await self._engine.remove_volume(volume)
        await self._context.network.remove()
        return sandboxes

    async def close(self) -> None:
        self._engine.stop_pulling()
        await self._context.network.close()
        await self._pool.close()
        await asyncio.gather(*(lifecycle.close() for lifecycle in self._lifecycles.values()))

    def _forget(self, lifecycle: ContainerLifecycle) -> None:
        if not lifecycle.needed and self._lifecycles.get(lifecycle.sid) is lifecycle:
            del self._lifecycles[lifecycle.sid]


def _read_instance(root: Path) -> str:
    """The name that marks the containers of this folder; created where it is missing. Raises OSError."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = root / _INSTANCE_FILE
    if not path.exists():
        temporary = path.with_suffix(f".{secrets.token_hex(4)}")
        temporary.write_text(secrets.token_hex(8))
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(temporary)
        temporary.unlink()
    return path.read_text()


FULL = "the workspace holds more than it may, so all that ran in the sandbox was ended: delete what is not needed"


class ContainerHost:
    """Starts the executor of a container."""

    def __init__(self, lifecycle: ContainerLifecycle, spec: RuntimeSpec) -> None:
        self._lifecycle = lifecycle
        self._storage = lifecycle.starter.storage
        self._spec = spec

    async def connect(self) -> ExecutorConnection | None:
        try:
            awake = await self._lifecycle.awake(self._spec.on_step)
        except RuntimeUnavailable:
            awake = True  # containers go on for a while without their engine
        return await self._storage.connect(self._spec.term) if awake else None

    async def end_unresponsive(self) -> None:
        await self._lifecycle.end_unresponsive()

    async def start(self) -> None:
        await self._lifecycle.ensure_running(self._spec.term, self._spec.on_step)

    async def claim(self) -> None:
        await self._storage.claim(self._spec.term)

    async def recorded_outcome(self, key: str) -> Outcome | UnknownAction | Lost | None:
        return await self._storage.recorded_outcome(key)


class DockerRuntime(ExecutorRuntime):
    """Keeps its container awake during each call, and says why it was ended."""

    def __init__(self, spec: RuntimeSpec, lifecycle: ContainerLifecycle, context: DockerContext) -> None:
        paths, limiter, settings = lifecycle.paths, context.limiter, context.settings
        workspace = WorkspaceFolder(paths.workspace, owner=paths.owner)
        super().__init__(
            spec,
            ContainerHost(lifecycle, spec),
            FolderFiles(workspace, limiter) if context.engine.local else None,
            JournalIdentity(paths.folder, limiter),
            command_timeout=settings.command_timeout,
            output_limit=settings.output_head + settings.output_tail,
            keep_awake=lambda: lifecycle.used(spec.on_step),
        )
        self._lifecycle = lifecycle

    async def _perform(self, connection: ExecutorConnection, key: str, task: Task, on_output: OnOutput) -> Outcome:
        guard = self._lifecycle.guard
        reported = guard.times_reported
        try:
            outcome = await super()._perform(connection, key, task, on_output)
        except ExecutorEnded as error:
            outcome = await self._outcome_after_end(key, error, full=guard.times_full > reported)
        if guard.times_full > reported and isinstance(outcome, CommandDone):
            guard.times_reported = guard.times_full
            return replace(outcome, output=f"{outcome.output}\n[{FULL}]\n")
        return outcome

    async def _outcome_after_end(self, key: str, error: ExecutorEnded, *, full: bool) -> Outcome:
        """What the executor could record of an action before the sandbox was ended for its size."""
        known = await self.inquire(key) if full else None
        if isinstance(known, CommandDone | EditDone):
            return known
        raise RuntimeUnavailable(
            FULL if full else await self._lifecycle.starter.end_reason() or error.message
        ) from error
