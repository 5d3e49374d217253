"""Which containers of a data folder are kept, and why; removes the others."""

import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import structlog

from openhands_sessions.adapters.runtimes.docker.container_spec import CONVERSATION, INSTANCE, WARM, WARM_PREFIX
from openhands_sessions.adapters.runtimes.docker.engine import ContainerInfo
from openhands_sessions.adapters.runtimes.docker.factory import PAUSED, RUNNING, DockerContext
from openhands_sessions.adapters.runtimes.docker.lifecycle import ContainerLifecycle
from openhands_sessions.adapters.runtimes.docker.starter import container_name
from openhands_sessions.adapters.runtimes.local.paths import CONVERSATION as CONVERSATION_FILE
from openhands_sessions.adapters.runtimes.local.paths import FileLock, SandboxPaths
from openhands_sessions.core.errors import SessionsError
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.sandboxes import SandboxInfo

log = structlog.get_logger(__name__)

ConversationExists = Callable[[ConversationId], Awaitable[bool]]
LifecycleOf = Callable[[ConversationId], ContainerLifecycle]
_SETUP_SECONDS = 120.0
"""The longest life of a container that sets up the network; an older one was left behind."""


class ContainerReaper:
    """Considers only the containers that carry the instance's label."""

    def __init__(
        self, context: DockerContext, root: Path, lifecycle_of: LifecycleOf, exists: ConversationExists
    ) -> None:
        self._context = context
        self._engine = context.engine
        self._root = root
        self._label = f"{INSTANCE}={context.instance}"
        self._lifecycle_of = lifecycle_of
        self._exists = exists

    async def survey(self) -> Sequence[SandboxInfo]:
        return [await self._judge(found) for found in await self._engine.list(self._label)]

    async def reap(self) -> Sequence[SandboxInfo]:
        """Remove the abandoned sandboxes and return them; manage the others from then on."""
        containers = await self._engine.list(self._label)
        judged = [await self._remove_or_adopt(found) for found in containers]
        await self._adopt_removed(containers)
        return [each for each in judged if not each.keep]

    async def try_to_reap(self) -> None:
        """As `reap`, with a warning for each failure: one container that fails does not protect the others."""
        try:
            containers = await self._engine.list(self._label)
        except SessionsError as error:
            log.warning("sandboxes could not be looked at", problem=error.message)
            return
        for found in containers:
            try:
                await self._remove_or_adopt(found)
            except (SessionsError, OSError) as error:
                log.warning("a sandbox could not be looked at", container=found.name, problem=str(error))
        await self._adopt_removed(containers)

    async def _adopt_removed(self, containers: Sequence[ContainerInfo]) -> None:
        """Where workspaces are removed with their containers: adopt also those whose container others removed."""
        if self._context.settings.keep_workspace:
            return
        names = {found.name for found in containers}
        for folder, conversation in (await self._context.limiter.run(_conversations, self._root)).items():
            if container_name(self._context.instance, folder) not in names:
                self._lifecycle_of(ConversationId(conversation)).adopt("removed")

    async def _remove_or_adopt(self, found: ContainerInfo) -> SandboxInfo:
        info = await self._judge(found)
        if not info.keep:
            await self._engine.remove(found.id)
            self._context.counts.removed += 1
            log.info("a sandbox was removed", container=found.name, why=info.why)
        elif info.conversation is not None:
            self._lifecycle_of(info.conversation).adopt(found.status)
        return info

    async def _judge(self, found: ContainerInfo) -> SandboxInfo:
        sid = self._conversation_of(found)
        try:
            keep, why = self._judge_without(found) if sid is None else await self._judge_with(sid, found)
        except OSError as error:
            keep, why = True, f"its folder cannot be looked at: {error.strerror}"
            log.warning("the folder of a sandbox cannot be looked at", container=found.name, problem=str(error))
        return SandboxInfo(name=found.name, conversation=sid, status=found.status, keep=keep, why=why)

    def _conversation_of(self, found: ContainerInfo) -> ConversationId | None:
        name = found.labels.get(CONVERSATION)
        if name is None and WARM in found.labels:
            name = SandboxPaths(self._root / found.name.rpartition("-")[2]).read_conversation()
        return None if name is None else ConversationId(name)

    def _judge_without(self, found: ContainerInfo) -> tuple[bool, str]:
        """For a container without a conversation."""
        if WARM in found.labels:
            with FileLock(
                SandboxPaths(self._root / f"{WARM_PREFIX}{found.labels[WARM]}").lock
            ).exclusive() as exclusive:
                if not exclusive:
                    return True, "waits for a conversation"
        elif time.time() - found.created < _SETUP_SECONDS:
            return True, "sets up the network"
        return False, "left behind by a server that was killed"

    async def _judge_with(self, sid: ConversationId, found: ContainerInfo) -> tuple[bool, str]:
        if not await self._exists(sid):
            return False, "its conversation is gone"
        if found.status not in (RUNNING, PAUSED):
            return True, "has ended; begins again when it is needed"
        return True, self._lifecycle_of(sid).description


def _conversations(root: Path) -> dict[str, str]:
    """The folders that had a container since they were last cleared, and their conversations."""
    found = (
        (path.parent.name, SandboxPaths(path.parent).read_conversation())
        for path in root.glob(f"*/{CONVERSATION_FILE}")
    )
    return {folder: conversation for folder, conversation in found if conversation}
