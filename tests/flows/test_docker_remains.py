"""What goes with a container where the policy deletes workspaces, and others have removed the container."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from openhands_sessions.adapters.runtimes.docker import DockerRuntimes
from openhands_sessions.adapters.runtimes.place import Place
from openhands_sessions.core.ids import folder_name
from openhands_sessions.ports.runtime import CommandDone
from tests.support.docker_engine import Engine
from tests.support.docker_sandboxes import LOOK_AGAIN, PLAIN, containers, docker_runtimes
from tests.support.sandboxes import SID, key, opened, run

DELETING = replace(PLAIN, pause_after=0.5, remove_after=0.2, keep_workspace=False)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "sandboxes" / folder_name(SID))


@pytest.fixture
async def runtimes(docker_engine: Engine, place: Place) -> AsyncIterator[DockerRuntimes]:
    async with docker_runtimes(docker_engine, place.folder.parent, DELETING) as runtimes, asyncio.timeout(30):
        yield runtimes


def remove(engine: Engine, runtimes: DockerRuntimes, *, only_end: bool = False) -> None:
    [(container, _)] = containers(engine, runtimes)
    with closing(engine.client()) as client:
        found = client.containers.get(container)
        found.kill() if only_end else found.remove(force=True)


async def gone(folder: Path) -> None:
    while folder.exists():
        await asyncio.sleep(LOOK_AGAIN)  # nothing tells of it


@pytest.mark.parametrize("only_end", [False, True])
async def test_the_workspace_goes_and_the_record_stays(
    docker_engine: Engine, runtimes: DockerRuntimes, place: Place, only_end: bool
) -> None:
    async with opened(runtimes) as runtime:
        await run(runtime, 0, "echo x > file; echo x > ~/file")
    await asyncio.to_thread(remove, docker_engine, runtimes, only_end=only_end)
    await gone(place.workspace)
    await gone(place.home)
    async with opened(runtimes, term=2) as runtime:
        assert isinstance(await runtime.inquire(key(0)), CommandDone)
        assert (await run(runtime, 1, "ls")).output == ""
    assert len(containers(docker_engine, runtimes)) == 1


async def test_nothing_goes_while_the_conversation_is_open(
    docker_engine: Engine, runtimes: DockerRuntimes, place: Place
) -> None:
    async with opened(runtimes) as runtime:
        await run(runtime, 0, "echo kept > file")
        await asyncio.to_thread(remove, docker_engine, runtimes)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await gone(place.workspace)
        assert (await run(runtime, 1, "cat file")).output == "kept\n"
