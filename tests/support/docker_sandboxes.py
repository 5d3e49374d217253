"""Docker sandboxes for tests, of which nothing is left afterwards."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

from openhands_sessions.adapters.runtimes.docker.container_spec import CONVERSATION, INSTANCE, WARM, DockerSettings
from openhands_sessions.adapters.runtimes.docker.runtimes import DockerRuntimes, open_docker
from tests.support.docker_engine import Engine
from tests.support.sandboxes import CAP

LOOK_AGAIN = 0.02
"""Seconds between two looks at what the engine does by itself."""
PATIENCE = 10.0
PLAIN = DockerSettings(network="none", output_head=CAP, output_tail=CAP)


@asynccontextmanager
async def docker_runtimes(
    engine: Engine,
    folder: Path,
    settings: DockerSettings = PLAIN,
    *,
    image: str | None = None,
    firewall: str | None = None,
) -> AsyncIterator[DockerRuntimes]:
    """A family of sandboxes in our base image, without a network unless the settings say otherwise."""
    chosen = replace(settings, image=image or engine.base, firewall_image=firewall or engine.base, pull=False)
    async with open_docker(folder, chosen, address=engine.address) as runtimes:
        try:
            yield runtimes
        finally:
            await runtimes.clear()


def containers(engine: Engine, runtimes: DockerRuntimes) -> list[tuple[str, str]]:
    """Id and status of each container of the family; not of those that set the firewall up, which end by themselves."""
    with closing(engine.client()) as client:
        found = client.api.containers(all=True, filters={"label": f"{INSTANCE}={runtimes.instance}"})
    return [(each["Id"], each["State"]) for each in found if {CONVERSATION, WARM} & each["Labels"].keys()]


async def comes_to(engine: Engine, runtimes: DockerRuntimes, *statuses: str) -> None:
    """Wait until the family's containers have these statuses."""
    await asyncio.to_thread(_wait_for, engine, runtimes, list(statuses))


def _wait_for(engine: Engine, runtimes: DockerRuntimes, statuses: list[str]) -> None:
    until = time.monotonic() + PATIENCE
    while (found := [status for _, status in containers(engine, runtimes)]) != statuses:
        assert time.monotonic() < until, f"{found}, not {statuses}"
        time.sleep(LOOK_AGAIN)
