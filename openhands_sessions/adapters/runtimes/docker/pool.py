"""Containers that run already and wait for a conversation, so that its first command need not wait for one."""

import asyncio
import contextlib
import secrets
from collections import deque
from contextvars import Context
from dataclasses import dataclass
from pathlib import Path

import structlog

from openhands_sessions.adapters.runtimes.docker.container_spec import INSTANCE, WARM
from openhands_sessions.adapters.runtimes.docker.engine import ContainerInfo
from openhands_sessions.adapters.runtimes.docker.factory import START_SECONDS, ContainerFactory, DockerContext
from openhands_sessions.adapters.runtimes.docker.networks import NO_RULES
from openhands_sessions.adapters.runtimes.docker.stages import STARTING
from openhands_sessions.adapters.runtimes.executor_client.handshake import listener_pid
from openhands_sessions.adapters.runtimes.local.file_lock import FileLock
from openhands_sessions.adapters.runtimes.local.paths import SandboxPaths
from openhands_sessions.adapters.runtimes.local.untrusted_tree import remove_untrusted_tree
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.ports.runtime import OnStep

log = structlog.get_logger(__name__)

PREFIX = "warm-"
"""Of the folders in which they wait."""
_REFILL_AFTER = 1.0
"""Seconds after one was taken until the next is made: the conversation comes first."""


@dataclass(frozen=True, slots=True)
class WarmContainer:
    """One that waits, in a folder of its own."""

    container: ContainerInfo
    paths: SandboxPaths
    hold: FileLock
    lacks: tuple[str, ...] = ()
    """What the conversation that gets it is to be told."""


class ContainerPool:
    """Keeps so many containers ready, from `open` until `close`; what cannot be made now is made later."""

    def __init__(self, context: DockerContext, root: Path, size: int) -> None:
        self._context = context
        self._root = root
        self._size = size
        self._factory = ContainerFactory(context)
        self._ready: deque[WarmContainer] = deque()
        self._making = asyncio.Lock()
        self._filling: asyncio.Task[None] | None = None
        self._refill: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Fill it, without waiting for that; what goes wrong is tried again at the next call."""
        if self._size and (self._filling is None or self._filling.done()):
            # It is nobody's, whoever has it begin: what it logs is to name no conversation.
            self._filling = asyncio.create_task(self._try_to_fill(), name="warm sandboxes", context=Context())

    async def fill(self) -> None:
        """Make what is missing. Raises RuntimeUnavailable, OSError."""
        async with self._making:
            await self._context.limiter.run(_sweep, self._root)
            while len(self._ready) < self._size:
                self._ready.append(await self._made())

    async def take(self, paths: SandboxPaths, name: str, conversation: str, on_step: OnStep) -> ContainerInfo | None:
        """A container that runs, moved to this place and given this name; None where none is ready, or the place is not
        as it was when it was made."""
        while self._ready:
            warm = self._ready.popleft()
            self._refill_later()
            try:
                if await listener_pid(warm.paths.socket) is None:
                    await self._remove(warm)
                elif await self._context.limiter.run(_untouched, paths):
                    await self._hand_over(warm, paths, name, conversation)
                    for words in ("A container that waited is taken", *warm.lacks):
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
        """Remove all that wait."""
        if self._refill is not None:
            self._refill.cancel()
        if self._filling is not None:
            self._filling.cancel()
            await asyncio.wait([self._filling])
        while self._ready:
            await self._remove(self._ready.pop())

    async def _hand_over(self, warm: WarmContainer, paths: SandboxPaths, name: str, conversation: str) -> None:
        """The name comes first: nothing but the container of that name is ever at work in the place, and one that a
        server which is killed in between leaves under it is made anew."""
        await self._context.limiter.run(paths.note, conversation)
        await self._context.engine.rename(warm.container.id, name)
        await self._context.limiter.run(_move, warm, paths)

    def _refill_later(self) -> None:
        if self._refill is not None:
            self._refill.cancel()
        self._refill = asyncio.get_running_loop().call_later(_REFILL_AFTER, self.open)

    async def _try_to_fill(self) -> None:
        try:
            await self.fill()
        except (RuntimeUnavailable, OSError) as error:
            log.warning("no sandbox could be made to wait", problem=str(error))

    async def _made(self) -> WarmContainer:
        mark = secrets.token_hex(8)
        paths = SandboxPaths(self._root / f"{PREFIX}{mark}", self._context.settings.owner)
        hold = FileLock(paths.hold)
        name = f"openhands-sessions-{self._context.instance}-{PREFIX}{mark}"
        storage = self._context.storage_of(paths, name)
        await storage.prepare()
        await self._context.limiter.run(hold.take)
        labels = {INSTANCE: self._context.instance, WARM: mark}
        warm = WarmContainer(ContainerInfo(name, name, "", labels), paths, hold)
        lacks: list[str] = []

        def hear(status: str, words: str) -> None:
            if words.startswith(NO_RULES):
                lacks.append(words)

        try:
            container = await self._factory.start(storage, name, await self._factory.spec(storage, hear), labels, hear)
            if not await self._factory.answers(storage, container, START_SECONDS):
                raise await self._factory.no_answer(container)
        except BaseException:
            await asyncio.shield(self._remove(warm))
            raise
        return WarmContainer(container, paths, hold, tuple(lacks))

    async def _remove(self, warm: WarmContainer) -> None:
        with contextlib.suppress(RuntimeUnavailable):
            await self._context.engine.remove(warm.container.id)
        with contextlib.suppress(OSError):
            await self._context.limiter.run(remove_untrusted_tree, warm.paths.folder)
        warm.hold.release()


def _untouched(paths: SandboxPaths) -> bool:
    """Whether its folders are as those of a container that waits. Raises OSError."""
    return not any(any(folder.iterdir()) for folder in (paths.workspace, paths.state, paths.home))


def _move(warm: WarmContainer, paths: SandboxPaths) -> None:
    """Give a place the folders of a container that runs in them. Raises OSError."""
    here = warm.paths
    for old, new in ((here.workspace, paths.workspace), (here.state, paths.state), (here.home, paths.home)):
        old.rename(new)  # over an empty folder
    remove_untrusted_tree(here.folder)
    warm.hold.release()


def _sweep(root: Path) -> None:
    """Delete the folders that a server which was killed has left. Raises OSError."""
    for folder in root.glob(f"{PREFIX}*"):
        with FileLock(SandboxPaths(folder).hold).alone() as alone:
            if alone:
                remove_untrusted_tree(folder)
