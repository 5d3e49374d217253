"""Sandboxes that are containers of a Docker engine."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from openhands_sessions.adapters.runtimes.docker.container_spec import INSTANCE
from openhands_sessions.adapters.runtimes.docker.context import make_context
from openhands_sessions.adapters.runtimes.docker.engine import DockerEngine
from openhands_sessions.adapters.runtimes.docker.factory import DockerContext
from openhands_sessions.adapters.runtimes.docker.lifecycle import ContainerLifecycle
from openhands_sessions.adapters.runtimes.docker.pool import ContainerPool
from openhands_sessions.adapters.runtimes.docker.reaper import ContainerReaper, ConversationExists
from openhands_sessions.adapters.runtimes.docker.runtime import DockerRuntime, _ContainerHost
from openhands_sessions.adapters.runtimes.docker.settings import DockerSettings
from openhands_sessions.adapters.runtimes.docker.size_guard import SizeGuard
from openhands_sessions.adapters.runtimes.docker.starter import ContainerStarter
from openhands_sessions.adapters.runtimes.docker.volumes import executor_volume
from openhands_sessions.adapters.runtimes.executor_client.folder_files import FolderFiles
from openhands_sessions.adapters.runtimes.executor_client.journal_identity import JournalIdentity
from openhands_sessions.adapters.runtimes.executor_client.runtime import ExecutorRuntime
from openhands_sessions.adapters.runtimes.local.paths import SandboxPaths
from openhands_sessions.adapters.runtimes.threads import ThreadLimiter
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.core.ids import ConversationId, folder_name
from openhands_sessions.executor.workspace import Workspace
from openhands_sessions.ports.runtime import Runtime, RuntimeSpec
from openhands_sessions.ports.sandboxes import SandboxInfo

IPYTHON_LABEL = "openhands-sessions.ipython"
_THREADS = 8
_LOOKS = 2
"""How many sandboxes are measured at once."""
_FIRST, _PERIOD = 2.0, 300.0
"""Seconds to the first look, which a short-lived command of the same data folder leaves to the server; and between
looks."""
_INSTANCE = "instance"


async def _knows_all(sid: ConversationId) -> bool:
    return True


@contextlib.asynccontextmanager
async def open_docker(
    root: Path, settings: DockerSettings, *, address: str | None = None, knows: ConversationExists = _knows_all
) -> AsyncIterator["DockerRuntimes"]:
    """The sandboxes below a folder. The end of the block leaves them: paused, where they are not at work. The engine
    may come later. Raises OSError."""
    limiter = ThreadLimiter(_THREADS)
    instance = await limiter.run(_instance, root)
    engine = DockerEngine(address)
    runtimes = DockerRuntimes(root, await make_context(root, settings, engine, limiter, instance), knows)
    keeping = asyncio.create_task(runtimes.keep(), name="sandbox keeper")
    try:
        yield runtimes
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
        await runtimes.close()
        await engine.close()


class DockerRuntimes:
    """One container per conversation that needs one, and one folder below `root` per conversation."""

    isolated = True

    def __init__(self, root: Path, context: DockerContext, knows: ConversationExists) -> None:
        self.instance = context.instance
        self._root = root
        self._context = context
        self._near = context.engine.host is None
        self._lifecycles: dict[ConversationId, ContainerLifecycle] = {}
        self._looking = asyncio.Semaphore(_LOOKS)
        self._pool = ContainerPool(
            context, root, context.settings.warm if self._near else 0
        )  # folders are moved, volumes cannot be
        self._reaper = ContainerReaper(context, root, self.lifecycle, knows)

    @contextlib.asynccontextmanager
    async def open(self, spec: RuntimeSpec) -> AsyncIterator[Runtime]:
        await self._context.engine.ping()
        self._context.networks.prepare()
        lifecycle = self.lifecycle(spec.sid)
        inner = ExecutorRuntime(
            spec,
            _ContainerHost(lifecycle, spec),
            FolderFiles(Workspace(lifecycle.paths.workspace, owner=lifecycle.paths.owner), self._context.limiter)
            if self._near
            else None,
            JournalIdentity(lifecycle.paths, self._context.limiter),
            command_timeout=self._context.settings.command_timeout,
            output_limit=self._context.settings.output_head + self._context.settings.output_tail,
            awake=lambda: lifecycle.used(spec.on_step),
        )
        try:
            async with lifecycle.open():
                yield DockerRuntime(inner, lifecycle, spec.on_step)
        finally:
            self._forget(lifecycle)
            await inner.close()

    async def has_ipython(self) -> bool:
        """As the image says of itself: to look would take a container."""
        try:
            return (await self._context.engine.labels_of(self._context.settings.image)).get(IPYTHON_LABEL) == "true"
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

    async def keep(self) -> None:
        """See now and then to what waits for conversations, and to what nobody needs; until cancelled."""
        await asyncio.sleep(_FIRST)
        while True:
            self._pool.open()
            await self._reaper.look()
            await self._context.networks.renew()
            await asyncio.sleep(_PERIOD)

    async def warm_up(self) -> None:
        """Have as many containers wait for conversations as are to. Raises RuntimeUnavailable, OSError."""
        await self._pool.fill()

    def lifecycle(self, sid: ConversationId) -> ContainerLifecycle:
        """The box of a conversation, which has one from its first mention."""
        lifecycle = self._lifecycles.get(sid)
        if lifecycle is None:
            paths = SandboxPaths(self._root / folder_name(sid), self._context.settings.owner)
            starter = ContainerStarter(self._context, self._pool, sid, paths)
            guard = SizeGuard(
                starter.storage.size,
                self._context.settings.workspace_size,
                self._looking,
                look_every=self._context.settings.look_every,
            )
            lifecycle = self._lifecycles[sid] = ContainerLifecycle(self._context, sid, starter, guard, self._forget)
        return lifecycle

    async def clear(self) -> Sequence[SandboxInfo]:
        await self._pool.close()
        standings = await self._reaper.survey()
        for standing in standings:
            await self._context.engine.remove(standing.name)
        for volume in await self._context.engine.volumes(f"{INSTANCE}={self.instance}"):
            if volume.startswith(executor_volume(self.instance, "")):
                await self._context.engine.remove_volume(volume)
        await self._context.networks.remove()
        return standings

    async def close(self) -> None:
        self._context.engine.stop_pulling()
        await self._context.networks.close()
        await self._pool.close()
        await asyncio.gather(*(lifecycle.close() for lifecycle in self._lifecycles.values()))

    def _forget(self, lifecycle: ContainerLifecycle) -> None:
        if not lifecycle.needed and self._lifecycles.get(lifecycle.sid) is lifecycle:
            del self._lifecycles[lifecycle.sid]


def _instance(root: Path) -> str:
    """The name by which the containers of this folder are told from those of others. Raises OSError."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = root / _INSTANCE
    if not path.exists():
        whole = path.with_suffix(f".{secrets.token_hex(4)}")
        whole.write_text(secrets.token_hex(8))
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(whole)
        whole.unlink()
    return path.read_text()
