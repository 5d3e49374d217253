"""Warm containers: they run before a conversation needs them, so that its first command need not wait for a start."""

import asyncio
import contextlib
import secrets
from collections import deque
from contextvars import Context
from dataclasses import dataclass
from pathlib import Path

import structlog

from openhands_sessions.adapters.runtimes.docker.container_spec import INSTANCE, WARM, WARM_PREFIX
from openhands_sessions.adapters.runtimes.docker.engine import ContainerInfo
from openhands_sessions.adapters.runtimes.docker.factory import STARTING, ContainerFactory, DockerContext
from openhands_sessions.adapters.runtimes.docker.network import NO_RULES
from openhands_sessions.adapters.runtimes.executor_client.connection import listener_pid
from openhands_sessions.adapters.runtimes.local.paths import FileLock, SandboxPaths, remove_untrusted_tree
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.ports.runtime import OnStep

log = structlog.get_logger(__name__)

_REFILL_SECONDS = 1.0
"""From the use of a warm container to the creation of the next: the conversation comes first."""


@dataclass(frozen=True, slots=True)
class WarmContainer:
    """A container without a conversation, in a folder of its own."""

    container: ContainerInfo
    paths: SandboxPaths
    lock: FileLock
    warnings: tuple[str, ...] = ()
    """For the users of the conversation that gets it."""


class ContainerPool:
    """Keeps `size` containers ready. A failure to create one is retried at the next `open`."""

    def __init__(self, context: DockerContext, root: Path, size: int) -> None:
        self._context = context
        self._root = root
        self._size = size
        self._factory = ContainerFactory(context)
        self._ready: deque[WarmContainer] = deque()
        self._creating = asyncio.Lock()
        self._filling: asyncio.Task[None] | None = None
        self._refill_timer: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Begin to fill the pool."""
        if self._size and (self._filling is None or self._filling.done()):
            # An empty context: its logs must not carry the id of the conversation that happens to trigger it.
            self._filling = asyncio.create_task(self._try_to_fill(), name="warm sandboxes", context=Context())

    async def fill(self) -> None:
        """Create the missing containers. Raises RuntimeUnavailable, OSError."""
        async with self._creating:
            await self._context.limiter.run(_delete_leftovers, self._root)
            while len(self._ready) < self._size:
                self._ready.append(await self._create())

    async def take(self, paths: SandboxPaths, name: str, conversation: str, on_step: OnStep) -> ContainerInfo | None:
        """A running container, moved to these paths and renamed; None where none is ready, or where the paths hold
        files already."""
        while self._ready:
            warm = self._ready.popleft()
            self._refill_later()
            try:
                if await listener_pid(warm.paths.socket) is None:
                    await self._remove(warm)
                elif await self._context.limiter.run(_are_empty, paths):
                    await self._hand_over(warm, paths, name, conversation)
                    for words in ("A container that waited is taken", *warm.warnings):
                        on_step(STARTING, words)
                    return warm.container
                else:
                    self._ready.append(warm)
                    return None
            except (RuntimeUnavailable, OSError) as error:
                log.warning("a sandbox that waited was not used", conversation_id=conversation, problem=str(error))
                await self._remove(warm)
        return None

    async def close(self) -> None:
        """Remove all warm containers."""
        if self._refill_timer is not None:
            self._refill_timer.cancel()
        if self._filling is not None:
            self._filling.cancel()
            await asyncio.wait([self._filling])
        while self._ready:
            await self._remove(self._ready.pop())

    async def _hand_over(self, warm: WarmContainer, paths: SandboxPaths, name: str, conversation: str) -> None:
        """Renames first: only the container of that name may use the paths. Where the server is killed in between, the
        next start finds a container of that name and creates it again."""
        await self._context.limiter.run(paths.write_conversation, conversation)
        await self._context.engine.rename(warm.container.id, name)
        await self._context.limiter.run(_move_folders, warm, paths)

    def _refill_later(self) -> None:
        if self._refill_timer is not None:
            self._refill_timer.cancel()
        self._refill_timer = asyncio.get_running_loop().call_later(_REFILL_SECONDS, self.open)

    async def _try_to_fill(self) -> None:
        try:
            await self.fill()
        except (RuntimeUnavailable, OSError) as error:
            log.warning("no sandbox could be made to wait", problem=str(error))

    async def _create(self) -> WarmContainer:
        mark = secrets.token_hex(8)
        paths = SandboxPaths(self._root / f"{WARM_PREFIX}{mark}", self._context.settings.owner)
        lock = FileLock(paths.lock)
        name = f"openhands-sessions-{self._context.instance}-{WARM_PREFIX}{mark}"
        storage = self._context.storage(paths, name)
        await storage.prepare()
        await self._context.limiter.run(lock.acquire)
        labels = {INSTANCE: self._context.instance, WARM: mark}
        warm = WarmContainer(ContainerInfo(name, name, "", labels), paths, lock)
        warnings: list[str] = []

        def on_step(status: str, words: str) -> None:
            if words.startswith(NO_RULES):
                warnings.append(words)

        try:
            container = await self._factory.run(storage, name, labels, on_step)
        except BaseException:
            await asyncio.shield(self._remove(warm))
            raise
        log.info("a sandbox was started", container=name, why="waits for a conversation")
        return WarmContainer(container, paths, lock, tuple(warnings))

    async def _remove(self, warm: WarmContainer) -> None:
        with contextlib.suppress(RuntimeUnavailable):
            await self._context.engine.remove(warm.container.id)
            self._context.counts.removed += 1
            log.info("a sandbox was removed", container=warm.container.name, why="it does not wait any more")
        with contextlib.suppress(OSError):
            await self._context.limiter.run(remove_untrusted_tree, warm.paths.folder)
        warm.lock.release()


def _are_empty(paths: SandboxPaths) -> bool:
    """Whether the folders are as those of a warm container. Raises OSError."""
    return not any(any(folder.iterdir()) for folder in (paths.workspace, paths.state, paths.home))


def _move_folders(warm: WarmContainer, paths: SandboxPaths) -> None:
    """Move the folders that a warm container has mounted. Raises OSError."""
    old = warm.paths
    for source, target in ((old.workspace, paths.workspace), (old.state, paths.state), (old.home, paths.home)):
        source.rename(target)  # replaces an empty folder
    remove_untrusted_tree(old.folder)
    warm.lock.release()


def _delete_leftovers(root: Path) -> None:
    """Delete the folders of warm containers of a server that was killed. Raises OSError."""
    for folder in root.glob(f"{WARM_PREFIX}*"):
        with FileLock(SandboxPaths(folder).lock).exclusive() as exclusive:
            if exclusive:
                remove_untrusted_tree(folder)
