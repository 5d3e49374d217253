"""A TrajectoryArchive whose saves are boundaries."""

from collections.abc import AsyncIterator

from openhands_sessions.bootstrap.kinds import open_archive
from openhands_sessions.config.config import Config
from openhands_sessions.ports.trajectories import TrajectoryArchive
from tests.support.boundaries import AFTER, AMID, STAGED, Boundaries, Boundary


class FailingArchive:
    """A TrajectoryArchive."""

    def __init__(self, archive: TrajectoryArchive, boundaries: Boundaries) -> None:
        self._archive = archive
        self._boundaries = boundaries

    async def save(self, name: str, content: AsyncIterator[bytes]) -> None:
        boundary = self._boundaries.begin("save")
        await self._archive.save(name, _watched(content, boundary))
        boundary.reach(AFTER)


async def _watched(content: AsyncIterator[bytes], boundary: Boundary) -> AsyncIterator[bytes]:
    amid = False
    async for piece in content:
        yield piece
        if not amid:
            boundary.reach(AMID)
        amid = True
    boundary.reach(STAGED)


def failing_archive(config: Config, boundaries: Boundaries) -> TrajectoryArchive | None:
    """The configured one, wrapped."""
    archive = open_archive(config)
    return None if archive is None else FailingArchive(archive, boundaries)
