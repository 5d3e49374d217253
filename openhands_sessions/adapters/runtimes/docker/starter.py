"""The way to a container that runs: found, woken, started again, or made anew around the same workspace."""

import contextlib
from collections.abc import Callable
from typing import ParamSpec

import structlog

from openhands_sessions.adapters.runtimes.docker.container_spec import (
    CONVERSATION,
    INSTANCE,
    SPEC_DIGEST,
    TERM,
    spec_digest,
)
from openhands_sessions.adapters.runtimes.docker.engine import ContainerInfo
from openhands_sessions.adapters.runtimes.docker.errors import ContainerGone
from openhands_sessions.adapters.runtimes.docker.factory import (
    PAUSED,
    RUNNING,
    START_SECONDS,
    ContainerFactory,
    DockerContext,
)
from openhands_sessions.adapters.runtimes.docker.pool import ContainerPool
from openhands_sessions.adapters.runtimes.docker.stages import READY, STARTED, STARTING, with_elapsed_time
from openhands_sessions.adapters.runtimes.local.paths import SandboxPaths
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.core.ids import ConversationId, folder_name
from openhands_sessions.ports.runtime import OnStep

log = structlog.get_logger(__name__)

P = ParamSpec("P")

_BROKEN_SECONDS = 3.0
"""How long a container that runs already may not be reached; it may just have been started by somebody else."""
_TRIES = 3
_END_SECONDS = 2


class ContainerStarter:
    """The steps for one conversation's container; one at a time. All may raise RuntimeUnavailable."""

    def __init__(self, context: DockerContext, pool: ContainerPool, sid: ConversationId, paths: SandboxPaths) -> None:
        self.paths = paths
        self.name = container_name(context.instance, folder_name(sid))
        self._context = context
        self._pool = pool
        self._factory = ContainerFactory(context)
        self._sid = sid
        self._unresponsive = False
        self.storage = context.storage_of(paths, self.name)

    async def prepare(self) -> None:
        """See to it that the folders are there."""
        await self.storage.prepare()

    async def find(self) -> ContainerInfo | None:
        return await self._context.engine.find(self.name)

    async def wake(self, on_step: OnStep) -> ContainerInfo | None:
        """The container as it is, but for one that was paused: that one runs again."""
        found = await self.find()
        if found is None or found.status != PAUSED:
            return found
        tell = with_elapsed_time(on_step)
        tell(STARTING, "Waking the sandbox")
        try:
            await self._context.engine.unpause(found.id)
        except RuntimeUnavailable:
            found = await self.find()
            if found is not None and found.status == PAUSED:
                raise
            return found  # somebody else has woken it, or ended it
        tell(READY, "Sandbox awake")
        return await self.find()

    async def ensure_running(self, term: int, on_step: OnStep) -> None:
        """See to it that an executor can be reached."""
        tell = with_elapsed_time(on_step)
        found = await self.wake(on_step)
        self._unresponsive = False
        if found is None or found.status != RUNNING or not await self._answers(found, _BROKEN_SECONDS):
            tell(STARTING, "Starting the sandbox: the Docker engine answers")
            await self._host(term, tell)
        tell(STARTED, "Executor up")
        tell(READY, "Workspace ready")

    async def end_unresponsive(self) -> None:
        """End a container that runs and whose executor does not answer; what it has done is in its record."""
        found = await self.find()
        if found is None or found.status != RUNNING or await self.storage.answers():
            return
        log.warning("a sandbox does not answer, and is ended", conversation_id=self._sid)
        self._unresponsive = True
        await self.remove()

    async def pause(self) -> None:
        await self._context.engine.pause(self.name)

    async def remove(self) -> None:
        """End the container by force; nothing where there is none."""
        found = await self.find()
        if found is not None:
            await self._context.engine.remove(found.id)
        if await self.storage.listens():
            await self.storage.kill()

    async def delete(self, *, but_the_record: bool) -> None:
        """Remove it, and delete all that it worked on. The record of its actions is kept for a conversation that goes
        on: by it, none is begun again in the next sandbox."""
        await self.remove()
        if not await self.storage.delete(but_the_record=but_the_record):
            raise RuntimeUnavailable("the sandbox could not be ended: another server has just started it")
        if but_the_record:
            await self._locally(self.paths.forget)

    async def ending(self) -> str | None:
        """Why it no longer runs, for users; None where it does."""
        if self._unresponsive:
            return "the sandbox did not answer any more while it was at work, and was ended"
        with contextlib.suppress(RuntimeUnavailable):
            await self._context.engine.wait(self.name, seconds=_END_SECONDS)  # its connection breaks a moment earlier
        found = await self.find()
        if found is None:
            return "the sandbox was removed from outside while it was at work"
        if found.status == RUNNING:
            return None
        if found.out_of_memory:
            return f"the sandbox ran out of its memory ({self._context.settings.memory >> 20} MiB) and was ended"
        return f"the sandbox was ended from outside while it was at work (exit code {found.exit_code})"

    async def _host(self, term: int, on_step: OnStep) -> None:
        """Start it until its executor can be reached: one that is ended meanwhile is started again."""
        for tries_left in reversed(range(_TRIES)):
            try:
                found = await self.find()
                if not _runs(found) and await self.storage.listens():
                    await self.storage.kill()
                started = await self._started(found, term, on_step)
                if await self._answers(started, START_SECONDS):
                    return
                raise await self._factory.no_answer(started)
            except ContainerGone as gone:
                if not tries_left:
                    raise
                log.info("a sandbox was ended as it began", conversation_id=self._sid, problem=gone.message)

    async def _started(self, found: ContainerInfo | None, term: int, on_step: OnStep) -> ContainerInfo:
        if found is None:
            warm = await self._pool.take(self.paths, self.name, self._sid, on_step)
            if warm is not None:
                return warm
        spec = await self._factory.spec(self.storage, on_step)
        if found is not None and found.status != RUNNING and found.labels.get(SPEC_DIGEST) == spec_digest(spec):
            try:
                await self.storage.set_secret(found.id)
                await self._factory.begin(found.id, spec, on_step)
            except RuntimeUnavailable as error:
                log.warning("a container did not start again", conversation_id=self._sid, problem=error.message)
            else:
                return found
        if found is not None:
            on_step(STARTING, "Making the sandbox anew; the workspace is kept")
            await self._context.engine.remove(found.id)
        await self.prepare()
        await self._locally(self.paths.note, self._sid)
        labels = {INSTANCE: self._context.instance, CONVERSATION: self._sid, TERM: str(term)}
        return await self._factory.start(self.storage, self.name, spec, labels, on_step)

    async def _locally(self, function: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            await self._context.limiter.run(function, *args, **kwargs)
        except OSError as error:
            raise RuntimeUnavailable(f"the sandbox's folder cannot be used: {error.strerror}") from error

    async def _answers(self, container: ContainerInfo, seconds: float) -> bool:
        return await self._factory.answers(self.storage, container, seconds)


def _runs(found: ContainerInfo | None) -> bool:
    return found is not None and found.status in (RUNNING, PAUSED)


def container_name(instance: str, folder: str) -> str:
    """The engine takes no two containers of one name, so nothing is made twice."""
    return f"openhands-sessions-{instance}-{folder}"
