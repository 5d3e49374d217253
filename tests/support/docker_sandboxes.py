"""Docker sandboxes for tests, of which nothing is left afterwards."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from openhands_sessions.adapters.runtimes.docker import DockerRuntimes, open_docker
from openhands_sessions.adapters.runtimes.docker_settings import DockerSettings
from tests.support.docker_engine import Engine
from tests.support.sandboxes import CAP


@asynccontextmanager
async def docker_runtimes(
    engine: Engine, folder: Path, settings: DockerSettings | None = None
) -> AsyncIterator[DockerRuntimes]:
    """A family of sandboxes in our base image, without a network unless the settings say otherwise."""
    plain = settings or DockerSettings(network="none", output_head=CAP, output_tail=CAP)
    chosen = replace(plain, image=engine.base, firewall_image=engine.base, pull=False)
    async with open_docker(folder, chosen, address=engine.address) as runtimes:
        try:
            yield runtimes
        finally:
            await runtimes.clear()
