"""Brings one conversation's container to run: unpauses, starts, or creates it again around the same workspace."""

import contextlib
import time
from collections.abc import Callable

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
    READY,
    RUNNING,
    START_SECONDS,
    STARTED,
    STARTING,
    ContainerFactory,
    DockerContext,
)
from openhands_sessions.adapters.runtimes.docker.pool import ContainerPool
from openhands_sessions.adapters.runtimes.local.paths import SandboxPaths
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.core.ids import ConversationId, folder_name
from openhands_sessions.ports.runtime import OnStep

log = structlog.get_logger(__name__)

_RESPONSE_SECONDS = 3.0
"""How long a running container is given to answer; another server may just have started it."""
_TRIES = 3
_END_SECONDS = 2


class ContainerStarter:
    """The operations on one conversation's container; the caller runs one at a time. All may raise
    RuntimeUnavailable."""

    def __init__(self, context: DockerContext, pool: ContainerPool, sid: ConversationId, paths: SandboxPaths) -> None:
        self.paths = paths
        self.name = container_name(context.instance, folder_name(sid))
        self.storage = context.storage(paths, self.name)
        self._context = context
        self._pool = pool
        self._factory = ContainerFactory(context)
        self._sid = sid
        self._ended_unresponsive = False

    async def find(self) -> ContainerInfo | None:
        return await self._context.engine.find(self.name)

    async def unpause(self, on_step: OnStep) -> ContainerInfo | None:
        """Unpause the container if it is paused; returns it as it is then."""
        found = await self.find()
        if found is None or found.status != PAUSED:
            return found
        report = with_elapsed_time(on_step)
        report(STARTING, "Waking the sandbox")
        try:
            await self._context.engine.unpause(found.id)
        except RuntimeUnavailable:
            found = await self.find()
            if found is not None and found.status == PAUSED:
                raise
            return found  # another process has unpaused it, or ended it
        report(READY, "Sandbox awake")
        return await self.find()

    async def ensure_running(self, term: int, on_step: OnStep) -> None:
        """Returns when an executor answers."""
        report = with_elapsed_time(on_step)
        found = await self.unpause(on_step)
        self._ended_unresponsive = False
        if found is None or found.status != RUNNING or not await self._responds(found, _RESPONSE_SECONDS):
            report(STARTING, "Starting the sandbox: the Docker engine answers")
            await self._start_until_responsive(term, report)
        report(STARTED, "Executor up")
        report(READY, "Workspace ready")

    async def end_unresponsive(self) -> None:
        """Remove a running container whose executor does not answer; its journal is kept."""
        found = await self.find()
        if found is None or found.status != RUNNING or await self.storage.is_responsive():
            return
        log.warning("a sandbox does not answer, and is ended", conversation_id=self._sid)
        self._ended_unresponsive = True
        await self.remove("it does not answer")

    async def pause(self) -> None:
        await self._context.engine.pause(self.name)

    async def remove(self, why: str) -> None:
        """End and remove the container; nothing where there is none. `why` is for the log."""
        found = await self.find()
        if found is not None:
            await self._context.engine.remove(found.id)
            self._context.counts.removed += 1
            log.info("a sandbox was removed", conversation_id=self._sid, container=self.name, why=why)
        if await self.storage.listens():  # a daemon that is killed while it starts a container forgets it
            await self.storage.kill()

    async def delete(self, why: str, *, keep_journal: bool) -> None:
        """Remove the container and delete its files. The journal is kept for a conversation that goes on: by it, the
        next container does not run an action again."""
        await self.remove(why)
        if not await self.storage.delete(keep_journal=keep_journal):
            raise RuntimeUnavailable("the sandbox could not be ended: another server has just started it")
        if keep_journal:
            await self._context.limiter.use_folder(self.paths.forget_conversation)

    async def end_reason(self) -> str | None:
        """Why the container does not run any more, for users; None where it runs."""
        if self._ended_unresponsive:
            return "the sandbox did not answer any more while it was at work, and was ended"
        with contextlib.suppress(RuntimeUnavailable):
            await self._context.engine.wait(self.name, seconds=_END_SECONDS)  # connections break a moment earlier
        found = await self.find()
        if found is None:
            return "the sandbox was removed from outside while it was at work"
        if found.status == RUNNING:
            return None
        if found.out_of_memory:
            return f"the sandbox ran out of its memory ({self._context.settings.memory >> 20} MiB) and was ended"
        return f"the sandbox was ended from outside while it was at work (exit code {found.exit_code})"

    async def _start_until_responsive(self, term: int, on_step: OnStep) -> None:
        """Start the container again where it is ended from outside meanwhile."""
        for tries_left in reversed(range(_TRIES)):
            try:
                found = await self.find()
                alive = found is not None and found.status in (RUNNING, PAUSED)
                if not alive and await self.storage.listens():
                    await self.storage.kill()
                started = await self._start(found, term, on_step)
                if await self._responds(started, START_SECONDS):
                    return
                raise await self._factory.start_failure(started)
            except ContainerGone as gone:
                if not tries_left:
                    raise
                log.info("a sandbox ended while it started", conversation_id=self._sid, problem=gone.message)

    async def _start(self, found: ContainerInfo | None, term: int, on_step: OnStep) -> ContainerInfo:
        if found is None:
            warm = await self._pool.take(self.paths, self.name, self._sid, on_step)
            if warm is not None:
                self._log_start("taken from those that waited")
                return warm
        spec = await self._factory.current_spec(self.storage, on_step)
        if found is not None and found.status != RUNNING and found.labels.get(SPEC_DIGEST) == spec_digest(spec):
            try:
                await self.storage.set_secret(found.id)
                await self._factory.start(found.id, spec, on_step)
            except RuntimeUnavailable as error:
                log.warning("a container did not start again", conversation_id=self._sid, problem=error.message)
            else:
                self._log_start("it had ended")
                return found
        if found is not None:
            on_step(STARTING, "Making the sandbox anew; the workspace is kept")
            await self._context.engine.remove(found.id)
            self._context.counts.removed += 1
        await self.storage.prepare()
        await self._context.limiter.use_folder(self.paths.write_conversation, self._sid)
        labels = {INSTANCE: self._context.instance, CONVERSATION: self._sid, TERM: str(term)}
        made = await self._factory.create(self.storage, self.name, spec, labels, on_step)
        self._log_start("made" if found is None else "made anew")
        return made

    def _log_start(self, why: str) -> None:
        log.info("a sandbox was started", conversation_id=self._sid, container=self.name, why=why)

    async def _responds(self, container: ContainerInfo, seconds: float) -> bool:
        return await self._factory.wait_until_responsive(self.storage, container, seconds)


def container_name(instance: str, folder: str) -> str:
    """The engine accepts a name once, so no two servers create a container for the same conversation."""
    return f"openhands-sessions-{instance}-{folder}"


def with_elapsed_time(on_step: OnStep, now: Callable[[], float] = time.monotonic) -> OnStep:
    """Adds to each step the seconds since this call."""
    began = now()

    def report(status: str, words: str) -> None:
        on_step(status, f"{words} ({now() - began:.2f} s)")

    return report
