"""Which of an instance's containers are kept, and why; and the end of the others."""

import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import structlog

from openhands_sessions.adapters.runtimes.docker.container_spec import CONVERSATION, INSTANCE, WARM
from openhands_sessions.adapters.runtimes.docker.engine import ContainerInfo
from openhands_sessions.adapters.runtimes.docker.factory import PAUSED, RUNNING, DockerContext
from openhands_sessions.adapters.runtimes.docker.lifecycle import ContainerLifecycle
from openhands_sessions.adapters.runtimes.docker.pool import PREFIX
from openhands_sessions.adapters.runtimes.docker.starter import container_name
from openhands_sessions.adapters.runtimes.local.file_lock import FileLock
from openhands_sessions.adapters.runtimes.local.paths import CONVERSATION as NOTE
from openhands_sessions.adapters.runtimes.local.paths import SandboxPaths
from openhands_sessions.core.errors import SessionsError
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.sandboxes import SandboxInfo

log = structlog.get_logger(__name__)

ConversationExists = Callable[[ConversationId], Awaitable[bool]]
"""Whether there is such a conversation."""
_SHORT_LIVED = 120.0
"""Seconds after which a container that serves no conversation has been left behind."""


class ContainerReaper:
    """Looks at what carries the instance's label, and at nothing else."""

    def __init__(
        self,
        context: DockerContext,
        root: Path,
        lifecycle: Callable[[ConversationId], ContainerLifecycle],
        knows: ConversationExists,
    ) -> None:
        self._context = context
        self._engine = context.engine
        self._root = root
        self._label = f"{INSTANCE}={context.instance}"
        self._lifecycle = lifecycle
        self._knows = knows

    async def survey(self) -> Sequence[SandboxInfo]:
        return [await self._judged(found) for found in await self._engine.list(self._label)]

    async def reap(self) -> Sequence[SandboxInfo]:
        """The rest is watched from then on."""
        there = await self._engine.list(self._label)
        settled = [await self._settled(found) for found in there]
        await self._watch_remains(there)
        return [standing for standing in settled if not standing.keep]

    async def look(self) -> None:
        """Reap, and at most complain: what is wrong with one keeps no other from its end."""
        try:
            there = await self._engine.list(self._label)
        except SessionsError as error:
            log.warning("sandboxes could not be looked at", problem=error.message)
            return
        for found in there:
            try:
                await self._settled(found)
            except (SessionsError, OSError) as error:
                log.warning("a sandbox could not be looked at", container=found.name, problem=str(error))
        await self._watch_remains(there)

    async def _watch_remains(self, there: Sequence[ContainerInfo]) -> None:
        """Where workspaces go with their containers, they go also where others have removed the container."""
        if self._context.settings.keep_workspace:
            return
        names = {found.name for found in there}
        for folder, conversation in (await self._context.limiter.run(_noted, self._root)).items():
            if container_name(self._context.instance, folder) not in names:
                self._lifecycle(ConversationId(conversation)).watch_remains()

    async def _settled(self, found: ContainerInfo) -> SandboxInfo:
        """Removed, or watched."""
        standing = await self._judged(found)
        if not standing.keep:
            await self._engine.remove(found.id)
            log.info("a sandbox was removed", container=found.name, why=standing.why)
        elif standing.conversation is not None:
            self._lifecycle(standing.conversation).watch(paused=found.status != RUNNING)
        return standing

    async def _judged(self, found: ContainerInfo) -> SandboxInfo:
        sid = self._conversation_of(found)
        try:
            keep, why = self._of_none(found) if sid is None else await self._of(sid, found)
        except OSError as error:
            keep, why = True, f"its folder cannot be looked at: {error.strerror}"
            log.warning("the folder of a sandbox cannot be looked at", container=found.name, problem=str(error))
        return SandboxInfo(name=found.name, conversation=sid, status=found.status, keep=keep, why=why)

    def _conversation_of(self, found: ContainerInfo) -> ConversationId | None:
        name = found.labels.get(CONVERSATION)
        if name is None and WARM in found.labels:
            name = SandboxPaths(self._root / found.name.rpartition("-")[2]).noted()
        return None if name is None else ConversationId(name)

    def _of_none(self, found: ContainerInfo) -> tuple[bool, str]:
        if WARM in found.labels:
            with FileLock(SandboxPaths(self._root / f"{PREFIX}{found.labels[WARM]}").hold).alone() as alone:
                if not alone:
                    return True, "waits for a conversation"
        elif time.time() - found.made < _SHORT_LIVED:
            return True, "sets up the network"
        return False, "left behind by a server that was killed"

    async def _of(self, sid: ConversationId, found: ContainerInfo) -> tuple[bool, str]:
        if not await self._knows(sid):
            return False, "its conversation is gone"
        if found.status not in (RUNNING, PAUSED):
            return True, "has ended; begins again when it is needed"
        return True, self._lifecycle(sid).standing


def _noted(root: Path) -> dict[str, str]:
    """The folders that had a container since they were last cleared, and whose they are."""
    found = ((path.parent.name, SandboxPaths(path.parent).noted()) for path in root.glob(f"*/{NOTE}"))
    return {folder: conversation for folder, conversation in found if conversation}
