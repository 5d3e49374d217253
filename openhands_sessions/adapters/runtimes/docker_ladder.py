"""The way to a container that runs: found, woken, started again, or made anew around the same workspace."""

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path

import structlog

from openhands_sessions.adapters.runtimes.docker_container import RECIPE, Recipe, digest, labels, recipe
from openhands_sessions.adapters.runtimes.docker_engine import Engine, Found
from openhands_sessions.adapters.runtimes.docker_images import Images
from openhands_sessions.adapters.runtimes.docker_network import Networks
from openhands_sessions.adapters.runtimes.docker_settings import DockerSettings
from openhands_sessions.adapters.runtimes.limiter import Limiter
from openhands_sessions.adapters.runtimes.link import peer
from openhands_sessions.adapters.runtimes.place import Place
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.core.ids import ConversationId, folder_name
from openhands_sessions.core.redaction import without_paths
from openhands_sessions.ports.runtime import OnStep

log = structlog.get_logger(__name__)

STARTING, STARTED, READY = "STATUS$STARTING_RUNTIME", "STATUS$RUNTIME_STARTED", "STATUS$READY"
RUNNING, PAUSED = "running", "paused"
_START_SECONDS = 20.0
_BROKEN_SECONDS = 3.0
"""How long a container that runs already may not be reached; it may just have been started by somebody else."""
_LOOK_AGAIN = 0.005
"""Seconds between two looks for the socket of an executor that starts: nothing else tells when it listens."""
_LOOKS_PER_INSPECTION = 10
_END_SECONDS = 2
_WORDS = 200
_DELETE_PATIENCE = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """What all containers of an instance share. `executor` is the archive that is mounted into each."""

    engine: Engine
    settings: DockerSettings
    networks: Networks
    images: Images
    limiter: Limiter
    instance: str
    executor: Path


class Ladder:
    """The steps for one conversation's container; one at a time. All may raise RuntimeUnavailable."""

    def __init__(self, site: Site, sid: ConversationId, place: Place) -> None:
        self.place = place
        self.name = f"openhands-sessions-{site.instance}-{folder_name(sid)}"
        self._site = site
        self._sid = sid

    async def prepare(self) -> None:
        """See to it that the folders are there."""
        try:
            await self._site.limiter.run(self.place.make, self.place.home)
        except OSError as error:
            raise RuntimeUnavailable(
                f"the workspace's folder cannot be used ({error.strerror}): check its owner, its mode and the disk"
            ) from error

    async def find(self) -> Found | None:
        return await self._site.engine.find(self.name)

    async def wake(self) -> Found | None:
        """The container as it is, but for one that was paused: that one runs again."""
        found = await self.find()
        if found is not None and found.status == PAUSED:
            await self._site.engine.unpause(found.id)
            found = await self.find()
        return found

    async def climb(self, term: int, on_step: OnStep) -> None:
        """See to it that an executor can be reached."""
        found = await self.wake()
        if found is None or found.status != RUNNING or not await self._answers(found, _BROKEN_SECONDS):
            on_step(STARTING, "Starting the sandbox")
            started = await self._started(await self.find(), term, on_step)
            if not await self._answers(started, _START_SECONDS):
                raise RuntimeUnavailable(await self._no_start(started))
        on_step(STARTED, "")
        on_step(READY, "")

    async def pause(self) -> None:
        await self._site.engine.pause(self.name)

    async def remove(self, *, workspace: bool) -> None:
        """End the container by force, and delete the workspace if asked to; nothing where there is none."""
        found = await self.find()
        if found is not None:
            await self._site.engine.remove(found.id)
        if not workspace:
            return
        try:
            gone = await self._site.limiter.run(self.place.delete, _DELETE_PATIENCE)
        except OSError as error:
            raise RuntimeUnavailable(f"the workspace could not be deleted: {error.strerror}") from error
        if not gone:
            raise RuntimeUnavailable("the sandbox could not be ended: another server has just started it")

    async def ending(self) -> str | None:
        """Why it no longer runs, for users; None where it does."""
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

    async def _started(self, found: Found | None, term: int, on_step: OnStep) -> Found:
        site = self._site
        network = await site.networks.ready(lambda words: on_step(STARTING, words))
        wanted = recipe(site.settings, self.place, site.executor, network)
        if found is not None and found.status != RUNNING and found.labels.get(RECIPE) == digest(wanted):
            try:
                await site.engine.start(found.id)
            except RuntimeUnavailable as error:
                log.warning("a container did not start again", conversation_id=self._sid, problem=error.message)
            else:
                return found
        if found is not None:
            on_step(STARTING, "Making the sandbox anew; the workspace is kept")
            await site.engine.remove(found.id)
        return await self._made(wanted, term, on_step)

    async def _made(self, wanted: Recipe, term: int, on_step: OnStep) -> Found:
        site = self._site
        await self.prepare()
        made = labels(site.instance, self._sid, term, wanted)
        container = await site.images.having(
            wanted["Image"],
            lambda: site.engine.create(self.name, wanted, made),
            lambda words: on_step(STARTING, words),
        )
        await site.engine.start(container)
        return Found(container, self.name, RUNNING, made)

    async def _answers(self, container: Found, seconds: float) -> bool:
        """Wait until its executor can be reached; False where it ends before, or takes longer."""
        looks = 0
        try:
            async with asyncio.timeout(seconds):
                while await peer(self.place.socket) is None:
                    looks += 1
                    if looks % _LOOKS_PER_INSPECTION == 0:
                        found = await self._site.engine.find(container.id)
                        if found is None or found.status != RUNNING:
                            return False
                    await asyncio.sleep(_LOOK_AGAIN)
        except TimeoutError:
            return False
        return True

    async def _no_start(self, container: Found) -> str:
        found = await self._site.engine.find(container.id)
        if found is not None and found.status == RUNNING:
            return "the sandbox did not get ready in time; is the machine overloaded?"
        said = "" if found is None else (await self._site.engine.words(found.id)).rpartition("\n")[2][:_WORDS]
        return f"the sandbox ended as it began: the image needs Python 3.8 or newer, and bash. {without_paths(said)}"
