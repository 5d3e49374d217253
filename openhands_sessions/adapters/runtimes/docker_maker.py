"""Makes containers, and tells whether the executor in one can be reached."""

import asyncio
import signal
from collections.abc import Mapping
from dataclasses import dataclass

from openhands_sessions.adapters.runtimes.docker_container import RECIPE, Recipe, digest, recipe
from openhands_sessions.adapters.runtimes.docker_engine import Engine, Found
from openhands_sessions.adapters.runtimes.docker_ground import Ground, Grounds
from openhands_sessions.adapters.runtimes.docker_images import Images
from openhands_sessions.adapters.runtimes.docker_network import Networks
from openhands_sessions.adapters.runtimes.docker_refusals import ContainerGone, NetworkGone, ended_early
from openhands_sessions.adapters.runtimes.docker_settings import DockerSettings
from openhands_sessions.adapters.runtimes.docker_stages import STARTING
from openhands_sessions.adapters.runtimes.limiter import Limiter
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.ports.runtime import OnStep

RUNNING, PAUSED = "running", "paused"
START_SECONDS = 20.0
SLOW = "the sandbox did not get ready in time; is the machine overloaded?"
CLOSED_IN = "Or docker.runtime lets it make no unix socket: gVisor's runsc needs --host-uds=create"
_LOOK_AGAIN = 0.005
"""Seconds between two looks for the socket of an executor that starts: nothing else tells when it listens."""
_LOOKS_PER_INSPECTION = 10
_ENDED_BY_OTHERS = (0, 128 + signal.SIGTERM, 128 + signal.SIGKILL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """What all containers of an instance share."""

    engine: Engine
    settings: DockerSettings
    networks: Networks
    images: Images
    limiter: Limiter
    instance: str
    grounds: Grounds


class Maker:
    """All may raise RuntimeUnavailable."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def wanted(self, ground: Ground, on_step: OnStep) -> Recipe:
        """How a container is made now."""
        network = await self._site.networks.ready(lambda words: on_step(STARTING, words))
        return recipe(self._site.settings, ground.fitting, network)

    async def start(
        self, ground: Ground, name: str, wanted: Recipe, labels: Mapping[str, str], on_step: OnStep
    ) -> Found:
        """Make a container and start it; once more where its network turns out not to be as it was."""
        try:
            return await self._started(ground, name, wanted, labels, on_step)
        except NetworkGone:
            self._site.networks.forget()
            await self._site.engine.remove(name)
            return await self._started(ground, name, await self.wanted(ground, on_step), labels, on_step)

    async def begin(self, container: str, wanted: Recipe, on_step: OnStep) -> None:
        """Start a container that was made like this."""
        await self._site.engine.start(container)
        on_step(STARTING, "Container started, its executor is waited for")
        await self._site.networks.sure(wanted["HostConfig"]["NetworkMode"])

    async def _started(
        self, ground: Ground, name: str, wanted: Recipe, labels: Mapping[str, str], on_step: OnStep
    ) -> Found:
        carried = {**labels, RECIPE: digest(wanted)}

        async def make() -> str:
            await ground.furnish()
            return await self._site.engine.create(name, wanted, carried)

        container = await self._site.images.having(wanted["Image"], make, lambda words: on_step(STARTING, words))
        on_step(STARTING, "Image present, container created")
        await ground.arm(container)
        await self.begin(container, wanted, on_step)
        return Found(container, name, RUNNING, carried)

    async def answers(self, ground: Ground, container: Found, seconds: float) -> bool:
        """Wait until its executor can be reached and answers; False where it ends before, or takes longer."""
        looks = 0
        try:
            async with asyncio.timeout(seconds):
                while not await ground.listens():
                    looks += 1
                    if looks % _LOOKS_PER_INSPECTION == 0:
                        found = await self._site.engine.find(container.id)
                        if found is None or found.status != RUNNING:
                            return False
                    await asyncio.sleep(_LOOK_AGAIN)
        except TimeoutError:
            return False
        return await ground.answers()

    async def no_answer(self, container: Found) -> RuntimeUnavailable:
        """Why one that was started cannot be reached."""
        found = await self._site.engine.find(container.id)
        if found is not None and found.status == RUNNING:
            return RuntimeUnavailable(SLOW if self._site.settings.runtime is None else f"{SLOW} {CLOSED_IN}")
        if found is None or found.exit_code in _ENDED_BY_OTHERS:
            return ContainerGone("the sandbox was ended from outside as it began")
        return RuntimeUnavailable(ended_early((await self._site.engine.words(found.id)).rpartition("\n")[2]))
