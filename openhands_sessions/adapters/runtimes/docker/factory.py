"""Creates and starts containers, and waits until the executor in one answers."""

import asyncio
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from openhands_sessions.adapters.runtimes.docker.container_spec import (
    SPEC_DIGEST,
    ContainerSpec,
    DockerSettings,
    container_spec,
    spec_digest,
)
from openhands_sessions.adapters.runtimes.docker.engine import ContainerInfo, DockerEngine
from openhands_sessions.adapters.runtimes.docker.errors import (
    ContainerGone,
    ImageMissing,
    NetworkGone,
    early_exit_message,
)
from openhands_sessions.adapters.runtimes.docker.network import SandboxNetwork
from openhands_sessions.adapters.runtimes.docker.storage import BindMountStorage, executor_archive
from openhands_sessions.adapters.runtimes.docker.volumes import ExecutorVolume, VolumeStorage
from openhands_sessions.adapters.runtimes.local.paths import SandboxPaths
from openhands_sessions.adapters.runtimes.threads import ThreadLimiter
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.ports.runtime import OnStep, SandboxCounts

RUNNING, PAUSED = "running", "paused"
STARTING, STARTED, READY = "STATUS$STARTING_RUNTIME", "STATUS$RUNTIME_STARTED", "STATUS$READY"
START_SECONDS = 20.0
SLOW = "the sandbox did not get ready in time; is the machine overloaded?"
CLOSED_IN = "Or docker.runtime lets it make no unix socket: gVisor's runsc needs --host-uds=create"
_POLL_SECONDS = 0.005
"""Between two looks for the socket of an executor that starts: no event says when it listens."""
_POLLS_PER_INSPECTION = 10
_NETWORK_RETRIES = 2
"""A prune that takes its time may also remove the network that was just created."""
_SIGNALLED = (0, 128 + signal.SIGTERM, 128 + signal.SIGKILL)
"""Exit codes of an executor that was ended from outside."""

SandboxStorage = BindMountStorage | VolumeStorage
"""Where the files of one conversation's container lie, and how its executor is reached."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DockerContext:
    """What all containers of one data folder share."""

    engine: DockerEngine
    settings: DockerSettings
    network: SandboxNetwork
    limiter: ThreadLimiter
    instance: str
    executor: ExecutorVolume
    counts: SandboxCounts = field(default_factory=SandboxCounts)

    def storage(self, paths: SandboxPaths, name: str) -> SandboxStorage:
        """The files of the container of this name: in bind mounts where the engine sees this machine's folders, else in
        volumes."""
        if self.engine.local:
            executor, seconds = self.executor.executor, self.settings.answer_within
            return BindMountStorage(paths, executor, self.limiter, answer_within=seconds)
        return VolumeStorage(
            paths, name, engine=self.engine, settings=self.settings, executor=self.executor, limiter=self.limiter
        )


async def make_context(
    root: Path, settings: DockerSettings, engine: DockerEngine, limiter: ThreadLimiter, instance: str
) -> DockerContext:
    """What the containers of one data folder share. Raises OSError."""
    return DockerContext(
        engine=engine,
        settings=settings,
        network=SandboxNetwork(engine, settings, instance),
        limiter=limiter,
        instance=instance,
        executor=ExecutorVolume(instance, await limiter.run(executor_archive, root)),
    )


class ContainerFactory:
    """All methods may raise RuntimeUnavailable."""

    def __init__(self, context: DockerContext) -> None:
        self._context = context

    async def current_spec(self, storage: SandboxStorage, on_step: OnStep) -> ContainerSpec:
        """How a container is created with the present settings."""
        network = await self._context.network.ready(lambda words: on_step(STARTING, words))
        return container_spec(self._context.settings, storage.mounts, network)

    async def run(
        self, storage: SandboxStorage, name: str, labels: Mapping[str, str], on_step: OnStep
    ) -> ContainerInfo:
        """Create and start a container with the present settings; returns when its executor answers."""
        container = await self.create(storage, name, await self.current_spec(storage, on_step), labels, on_step)
        if not await self.wait_until_responsive(storage, container, START_SECONDS):
            raise await self.start_failure(container)
        return container

    async def create(
        self, storage: SandboxStorage, name: str, spec: ContainerSpec, labels: Mapping[str, str], on_step: OnStep
    ) -> ContainerInfo:
        """Create a container and start it; again where its network is removed or changed meanwhile."""
        for _ in range(_NETWORK_RETRIES):
            try:
                return await self._create(storage, name, spec, labels, on_step)
            except NetworkGone:
                self._context.network.forget()
                await self._context.engine.remove(name)
                spec = await self.current_spec(storage, on_step)
        return await self._create(storage, name, spec, labels, on_step)

    async def start(self, container: str, spec: ContainerSpec, on_step: OnStep) -> None:
        """Start a container that was created with this spec."""
        await self._context.engine.start(container)
        on_step(STARTING, "Container started, its executor is waited for")
        await self._context.network.verify(spec["HostConfig"]["NetworkMode"])

    async def wait_until_responsive(self, storage: SandboxStorage, container: ContainerInfo, seconds: float) -> bool:
        """Wait until the executor answers; False where the container ends before, or it takes longer."""
        polls = 0
        try:
            async with asyncio.timeout(seconds):
                while not await storage.listens():
                    polls += 1
                    if polls % _POLLS_PER_INSPECTION == 0:
                        found = await self._context.engine.find(container.id)
                        if found is None or found.status != RUNNING:
                            return False
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            return False
        return await storage.is_responsive()

    async def start_failure(self, container: ContainerInfo) -> RuntimeUnavailable:
        """Why a container that was started cannot be reached."""
        found = await self._context.engine.find(container.id)
        if found is not None and found.status == RUNNING:
            return RuntimeUnavailable(SLOW if self._context.settings.runtime is None else f"{SLOW} {CLOSED_IN}")
        if found is None or found.exit_code in _SIGNALLED:
            return ContainerGone("the sandbox was ended from outside while it started")
        last_line = (await self._context.engine.log_tail(found.id)).rpartition("\n")[2]
        return RuntimeUnavailable(early_exit_message(last_line))

    async def _create(
        self, storage: SandboxStorage, name: str, spec: ContainerSpec, labels: Mapping[str, str], on_step: OnStep
    ) -> ContainerInfo:
        all_labels = {**labels, SPEC_DIGEST: spec_digest(spec)}

        async def create() -> str:
            await storage.prepare_mounts()
            return await self._context.engine.create(name, spec, all_labels)

        try:
            container = await create()
        except ImageMissing:  # not asked before: that would cost time at each start
            if not self._context.settings.pull:
                raise
            await pull_image(self._context.engine, spec["Image"], lambda words: on_step(STARTING, words))
            container = await create()
        on_step(STARTING, "Image present, container created")
        await storage.set_secret(container)
        await self.start(container, spec, on_step)
        self._context.counts.made += 1
        return ContainerInfo(container, name, RUNNING, all_labels)


async def pull_image(engine: DockerEngine, image: str, on_progress: Callable[[str], None]) -> None:
    """Fetch an image; `on_progress` gets texts for users. Raises ImageMissing."""
    on_progress(f"Fetching the image {image}")
    try:
        await engine.pull(image, lambda percent: on_progress(f"Fetching the image {image}: {percent} %"))
    except RuntimeUnavailable as error:
        raise ImageMissing(error.message) from error
    on_progress(f"The image {image} is fetched")
