"""What goes with a container where the policy deletes workspaces, and others have removed the container."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from openhands_sessions.adapters.runtimes.docker.runtimes import DockerRuntimes, open_docker
from openhands_sessions.adapters.runtimes.local.paths import SandboxPaths
from openhands_sessions.core.ids import folder_name
from openhands_sessions.ports.runtime import CommandDone
from tests.support.docker_engine import Engine
from tests.support.docker_sandboxes import LOOK_AGAIN, PATIENCE, PLAIN, containers, docker_runtimes
from tests.support.sandboxes import SID, key, opened, run

DELETING = replace(PLAIN, pause_after=0.5, remove_after=0.2, keep_workspace=False)


@pytest.fixture
def place(tmp_path: Path) -> SandboxPaths:
    return SandboxPaths(tmp_path / "sandboxes" / folder_name(SID))


@pytest.fixture
async def runtimes(docker_engine: Engine, place: SandboxPaths) -> AsyncIterator[DockerRuntimes]:
    async with docker_runtimes(docker_engine, place.folder.parent, DELETING) as runtimes, asyncio.timeout(30):
        yield runtimes


def remove(engine: Engine, runtimes: DockerRuntimes, *, only_end: bool = False) -> None:
    [(container, _)] = containers(engine, runtimes)
    with closing(engine.client()) as client:
        found = client.containers.get(container)
        found.kill() if only_end else found.remove(force=True)


async def gone(path: Path, *, within: float = PATIENCE) -> bool:
    for _ in range(int(within / LOOK_AGAIN)):
        if not path.exists():
            return True
        await asyncio.sleep(LOOK_AGAIN)  # nothing tells of it
    return False


@pytest.mark.parametrize("only_end", [False, True])
async def test_the_workspace_goes_and_the_record_stays(
    docker_engine: Engine, runtimes: DockerRuntimes, place: SandboxPaths, only_end: bool
) -> None:
    async with opened(runtimes) as runtime:
        await run(runtime, 0, "echo x > file; echo x > ~/file")
    await asyncio.to_thread(remove, docker_engine, runtimes, only_end=only_end)
    assert await gone(place.workspace)
    assert await gone(place.home)
    async with opened(runtimes, term=2) as runtime:
        assert isinstance(await runtime.inquire(key(0)), CommandDone)
        assert (await run(runtime, 1, "ls")).output == ""
    assert len(containers(docker_engine, runtimes)) == 1


async def test_nothing_goes_while_the_conversation_is_open(
    docker_engine: Engine, runtimes: DockerRuntimes, place: SandboxPaths
) -> None:
    async with opened(runtimes) as runtime:
        await run(runtime, 0, "echo kept > file")
        await asyncio.to_thread(remove, docker_engine, runtimes)
        assert not await gone(place.workspace, within=1.5)
        assert (await run(runtime, 1, "cat file")).output == "kept\n"


async def test_it_goes_also_where_no_server_saw_it(
    docker_engine: Engine, runtimes: DockerRuntimes, place: SandboxPaths
) -> None:
    settings = replace(DELETING, pause_after=600, image=docker_engine.base, pull=False)
    async with (
        open_docker(place.folder.parent, settings, address=docker_engine.address) as earlier,
        opened(earlier) as runtime,
    ):
        await run(runtime, 0, "echo x > file")
    await asyncio.to_thread(remove, docker_engine, runtimes)
    assert place.workspace.exists()
    await runtimes.reap()
    assert await gone(place.workspace)
    async with opened(runtimes, term=2) as runtime:
        await runtime.files.write("new", b"never had a container")
    await runtimes.reap()
    assert not await gone(place.workspace / "new", within=1)
