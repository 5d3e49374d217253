"""What all containers of an instance share, put together."""

from pathlib import Path

from openhands_sessions.adapters.runtimes.docker_engine import Engine
from openhands_sessions.adapters.runtimes.docker_ground import Ground, Grounds, SharedGround
from openhands_sessions.adapters.runtimes.docker_images import Images
from openhands_sessions.adapters.runtimes.docker_maker import Site
from openhands_sessions.adapters.runtimes.docker_network import Networks
from openhands_sessions.adapters.runtimes.docker_settings import DockerSettings
from openhands_sessions.adapters.runtimes.docker_volumes import Programs, VolumeGround
from openhands_sessions.adapters.runtimes.executor_archive import executor_archive
from openhands_sessions.adapters.runtimes.limiter import Limiter
from openhands_sessions.adapters.runtimes.place import Place


async def make_site(root: Path, settings: DockerSettings, engine: Engine, limiter: Limiter, instance: str) -> Site:
    """Raises OSError where the folder cannot be used."""
    executor = await limiter.run(executor_archive, root)
    return Site(
        engine=engine,
        settings=settings,
        networks=Networks(engine, settings, instance),
        images=Images(engine, pull=settings.pull),
        limiter=limiter,
        instance=instance,
        grounds=_grounds(settings, engine, limiter, Programs(instance, executor)),
    )


def _grounds(settings: DockerSettings, engine: Engine, limiter: Limiter, programs: Programs) -> Grounds:
    """Volumes, where the engine sees none of our folders."""

    def far(place: Place, name: str) -> Ground:
        return VolumeGround(place, name, engine=engine, settings=settings, programs=programs, limiter=limiter)

    def near(place: Place, name: str) -> Ground:
        return SharedGround(place, programs.path, limiter, settings.answer_within)

    return near if engine.host is None else far
