"""What all containers of an instance share, put together."""

from pathlib import Path

from openhands_sessions.adapters.runtimes.docker.engine import DockerEngine
from openhands_sessions.adapters.runtimes.docker.executor_archive import executor_archive
from openhands_sessions.adapters.runtimes.docker.factory import DockerContext
from openhands_sessions.adapters.runtimes.docker.images import Images
from openhands_sessions.adapters.runtimes.docker.networks import SandboxNetwork
from openhands_sessions.adapters.runtimes.docker.settings import DockerSettings
from openhands_sessions.adapters.runtimes.docker.storage import BindMountStorage, SandboxStorage, StorageFactory
from openhands_sessions.adapters.runtimes.docker.volumes import Programs, VolumeStorage
from openhands_sessions.adapters.runtimes.local.paths import SandboxPaths
from openhands_sessions.adapters.runtimes.threads import ThreadLimiter


async def make_context(
    root: Path, settings: DockerSettings, engine: DockerEngine, limiter: ThreadLimiter, instance: str
) -> DockerContext:
    """Raises OSError where the folder cannot be used."""
    executor = await limiter.run(executor_archive, root)
    return DockerContext(
        engine=engine,
        settings=settings,
        networks=SandboxNetwork(engine, settings, instance),
        images=Images(engine, pull=settings.pull),
        limiter=limiter,
        instance=instance,
        storage_of=_storage_factory(settings, engine, limiter, Programs(instance, executor)),
    )


def _storage_factory(
    settings: DockerSettings, engine: DockerEngine, limiter: ThreadLimiter, programs: Programs
) -> StorageFactory:
    """Volumes, where the engine sees none of our folders."""

    def far(paths: SandboxPaths, name: str) -> SandboxStorage:
        return VolumeStorage(paths, name, engine=engine, settings=settings, programs=programs, limiter=limiter)

    def near(paths: SandboxPaths, name: str) -> SandboxStorage:
        return BindMountStorage(paths, programs.path, limiter, settings.answer_within)

    return near if engine.host is None else far
