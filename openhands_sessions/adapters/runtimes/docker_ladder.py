"""The way to a container that runs: found, woken, started again, or made anew around the same workspace."""

import contextlib
from collections.abc import Callable
from typing import ParamSpec

import structlog

from openhands_sessions.adapters.runtimes.docker_container import CONVERSATION, INSTANCE, RECIPE, TERM, digest
from openhands_sessions.adapters.runtimes.docker_engine import Found
from openhands_sessions.adapters.runtimes.docker_maker import (
    PAUSED,
    RUNNING,
    START_SECONDS,
    Maker,
    Site,
)
from openhands_sessions.adapters.runtimes.docker_pool import Pool
from openhands_sessions.adapters.runtimes.docker_refusals import ContainerGone
from openhands_sessions.adapters.runtimes.docker_stages import READY, STARTED, STARTING, clocked
from openhands_sessions.adapters.runtimes.place import Place
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.core.ids import ConversationId, folder_name
from openhands_sessions.ports.runtime import OnStep

log = structlog.get_logger(__name__)

P = ParamSpec("P")

_BROKEN_SECONDS = 3.0
"""How long a container that runs already may not be reached; it may just have been started by somebody else."""
_TRIES = 3
_END_SECONDS = 2


class Ladder:
    """The steps for one conversation's container; one at a time. All may raise RuntimeUnavailable."""

    def __init__(self, site: Site, pool: Pool, sid: ConversationId, place: Place) -> None:
        self.place = place
        self.name = container_name(site.instance, folder_name(sid))
        self._site = site
        self._pool = pool
        self._maker = Maker(site)
        self._sid = sid
        self._dismissed = False
        self.ground = site.grounds(place, self.name)

    async def prepare(self) -> None:
        """See to it that the folders are there."""
        await self.ground.prepare()

    async def find(self) -> Found | None:
        return await self._site.engine.find(self.name)

    async def wake(self, on_step: OnStep) -> Found | None:
        """The container as it is, but for one that was paused: that one runs again."""
        found = await self.find()
        if found is None or found.status != PAUSED:
            return found
        tell = clocked(on_step)
        tell(STARTING, "Waking the sandbox")
        try:
            await self._site.engine.unpause(found.id)
        except RuntimeUnavailable:
            found = await self.find()
            if found is not None and found.status == PAUSED:
                raise
            return found  # somebody else has woken it, or ended it
        tell(READY, "Sandbox awake")
        return await self.find()

    async def climb(self, term: int, on_step: OnStep) -> None:
        """See to it that an executor can be reached."""
        tell = clocked(on_step)
        found = await self.wake(on_step)
        self._dismissed = False
        if found is None or found.status != RUNNING or not await self._answers(found, _BROKEN_SECONDS):
            tell(STARTING, "Starting the sandbox: the Docker engine answers")
            await self._reach(term, tell)
        tell(STARTED, "Executor up")
        tell(READY, "Workspace ready")

    async def dismiss(self) -> None:
        """End a container that runs and whose executor does not answer; what it has done is in its record."""
        found = await self.find()
        if found is None or found.status != RUNNING or await self.ground.answers():
            return
        log.warning("a sandbox does not answer, and is ended", conversation_id=self._sid)
        self._dismissed = True
        await self.remove()

    async def pause(self) -> None:
        await self._site.engine.pause(self.name)

    async def remove(self) -> None:
        """End the container by force; nothing where there is none."""
        found = await self.find()
        if found is not None:
            await self._site.engine.remove(found.id)
        if await self.ground.listens():
            await self.ground.expel()

    async def delete(self, *, but_the_record: bool) -> None:
        """Remove it, and delete all that it worked on. The record of its actions is kept for a conversation that goes
        on: by it, none is begun again in the next sandbox."""
        await self.remove()
        if not await self.ground.delete(but_the_record=but_the_record):
            raise RuntimeUnavailable("the sandbox could not be ended: another server has just started it")
        if but_the_record:
            await self._locally(self.place.forget)

    async def ending(self) -> str | None:
        """Why it no longer runs, for users; None where it does."""
        if self._dismissed:
            return "the sandbox did not answer any more while it was at work, and was ended"
        with contextlib.suppress(RuntimeUnavailable):
            await self._site.engine.wait(self.name, seconds=_END_SECONDS)  # its connection breaks a moment earlier
        found = await self.find()
        if found is None:
            return "the sandbox was removed from outside while it was at work"
        if found.status == RUNNING:
            return None
        if found.out_of_memory:
            return f"the sandbox ran out of its memory ({self._site.settings.memory >> 20} MiB) and was ended"
        return f"the sandbox was ended from outside while it was at work (exit code {found.exit_code})"

    async def _reach(self, term: int, on_step: OnStep) -> None:
        """Start it until its executor can be reached: one that is ended meanwhile is started again."""
        for tries_left in reversed(range(_TRIES)):
            try:
                found = await self.find()
                if not _runs(found) and await self.ground.listens():
                    await self.ground.expel()
                started = await self._started(found, term, on_step)
                if await self._answers(started, START_SECONDS):
                    return
                raise await self._maker.no_answer(started)
            except ContainerGone as gone:
                if not tries_left:
                    raise
                log.info("a sandbox was ended as it began", conversation_id=self._sid, problem=gone.message)

    async def _started(self, found: Found | None, term: int, on_step: OnStep) -> Found:
        if found is None:
            warm = await self._pool.take(self.place, self.name, self._sid, on_step)
            if warm is not None:
                return warm
        wanted = await self._maker.wanted(self.ground, on_step)
        if found is not None and found.status != RUNNING and found.labels.get(RECIPE) == digest(wanted):
            try:
                await self.ground.arm(found.id)
                await self._maker.begin(found.id, wanted, on_step)
            except RuntimeUnavailable as error:
                log.warning("a container did not start again", conversation_id=self._sid, problem=error.message)
            else:
                return found
        if found is not None:
            on_step(STARTING, "Making the sandbox anew; the workspace is kept")
            await self._site.engine.remove(found.id)
        await self.prepare()
        await self._locally(self.place.note, self._sid)
        labels = {INSTANCE: self._site.instance, CONVERSATION: self._sid, TERM: str(term)}
        return await self._maker.start(self.ground, self.name, wanted, labels, on_step)

    async def _locally(self, function: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            await self._site.limiter.run(function, *args, **kwargs)
        except OSError as error:
            raise RuntimeUnavailable(f"the sandbox's folder cannot be used: {error.strerror}") from error

    async def _answers(self, container: Found, seconds: float) -> bool:
        return await self._maker.answers(self.ground, container, seconds)


def _runs(found: Found | None) -> bool:
    return found is not None and found.status in (RUNNING, PAUSED)


def container_name(instance: str, folder: str) -> str:
    """The engine takes no two containers of one name, so nothing is made twice."""
    return f"openhands-sessions-{instance}-{folder}"
