"""Makes containers, and tells whether the executor in one can be reached."""

import asyncio
import signal
from collections.abc import Mapping
from dataclasses import dataclass

from openhands_sessions.adapters.runtimes.docker.container_spec import (
    SPEC_DIGEST,
    ContainerSpec,
    container_spec,
    spec_digest,
)
from openhands_sessions.adapters.runtimes.docker.engine import ContainerInfo, DockerEngine
from openhands_sessions.adapters.runtimes.docker.errors import ContainerGone, NetworkGone, early_exit_message
from openhands_sessions.adapters.runtimes.docker.images import Images
from openhands_sessions.adapters.runtimes.docker.networks import SandboxNetwork
from openhands_sessions.adapters.runtimes.docker.settings import DockerSettings
from openhands_sessions.adapters.runtimes.docker.stages import STARTING
from openhands_sessions.adapters.runtimes.docker.storage import SandboxStorage, StorageFactory
from openhands_sessions.adapters.runtimes.threads import ThreadLimiter
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
class DockerContext:
    """What all containers of an instance share."""

    engine: DockerEngine
    settings: DockerSettings
    networks: SandboxNetwork
    images: Images
    limiter: ThreadLimiter
    instance: str
    storage_of: StorageFactory


class ContainerFactory:
    """All may raise RuntimeUnavailable."""

    def __init__(self, context: DockerContext) -> None:
        self._context = context

    async def spec(self, storage: SandboxStorage, on_step: OnStep) -> ContainerSpec:
        """How a container is made now."""
        network = await self._context.networks.ready(lambda words: on_step(STARTING, words))
        return container_spec(self._context.settings, storage.mounts, network)

    async def start(
        self, storage: SandboxStorage, name: str, spec: ContainerSpec, labels: Mapping[str, str], on_step: OnStep
    ) -> ContainerInfo:
        """Make a container and start it; once more where its network turns out not to be as it was."""
        try:
            return await self._started(storage, name, spec, labels, on_step)
        except NetworkGone:
            self._context.networks.forget()
            await self._context.engine.remove(name)
            return await self._started(storage, name, await self.spec(storage, on_step), labels, on_step)

    async def begin(self, container: str, spec: ContainerSpec, on_step: OnStep) -> None:
        """Start a container that was made like this."""
        await self._context.engine.start(container)
        on_step(STARTING, "Container started, its executor is waited for")
        await self._context.networks.sure(spec["HostConfig"]["NetworkMode"])

    async def _started(
        self, storage: SandboxStorage, name: str, spec: ContainerSpec, labels: Mapping[str, str], on_step: OnStep
    ) -> ContainerInfo:
        carried = {**labels, SPEC_DIGEST: spec_digest(spec)}

        async def make() -> str:
            await storage.prepare_mounts()
            return await self._context.engine.create(name, spec, carried)

        container = await self._context.images.having(spec["Image"], make, lambda words: on_step(STARTING, words))
        on_step(STARTING, "Image present, container created")
        await storage.set_secret(container)
        await self.begin(container, spec, on_step)
        return ContainerInfo(container, name, RUNNING, carried)

    async def answers(self, storage: SandboxStorage, container: ContainerInfo, seconds: float) -> bool:
        """Wait until its executor can be reached and answers; False where it ends before, or takes longer."""
        looks = 0
        try:
            async with asyncio.timeout(seconds):
                while not await storage.listens():
                    looks += 1
                    if looks % _LOOKS_PER_INSPECTION == 0:
                        found = await self._context.engine.find(container.id)
                        if found is None or found.status != RUNNING:
                            return False
                    await asyncio.sleep(_LOOK_AGAIN)
        except TimeoutError:
            return False
        return await storage.answers()

    async def no_answer(self, container: ContainerInfo) -> RuntimeUnavailable:
        """Why one that was started cannot be reached."""
        found = await self._context.engine.find(container.id)
        if found is not None and found.status == RUNNING:
            return RuntimeUnavailable(SLOW if self._context.settings.runtime is None else f"{SLOW} {CLOSED_IN}")
        if found is None or found.exit_code in _ENDED_BY_OTHERS:
            return ContainerGone("the sandbox was ended from outside as it began")
        return RuntimeUnavailable(early_exit_message((await self._context.engine.words(found.id)).rpartition("\n")[2]))
