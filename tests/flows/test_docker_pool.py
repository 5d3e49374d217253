"""Containers that wait for a conversation."""

import asyncio
import json
import secrets
import threading
import time
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from openhands_sessions.adapters.runtimes.docker import engine
from openhands_sessions.adapters.runtimes.docker.runtimes import DockerRuntimes, open_docker
from openhands_sessions.adapters.runtimes.docker.starter import container_name
from openhands_sessions.adapters.runtimes.local.paths import SandboxPaths
from openhands_sessions.core.ids import ConversationId, folder_name
from openhands_sessions.ports.runtime import RuntimeSpec, UnknownAction
from tests.support.command_line import CommandLine
from tests.support.docker_engine import Engine
from tests.support.docker_sandboxes import PLAIN, comes_to, containers, docker_runtimes
from tests.support.running_server import running_server
from tests.support.sandboxes import SID, key, opened, run

OTHER = ConversationId("other")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sandboxes"


@pytest.fixture
async def runtimes(docker_engine: Engine, folder: Path) -> AsyncIterator[DockerRuntimes]:
    """With one container that waits."""
    settings = replace(PLAIN, warm=1)
    async with docker_runtimes(docker_engine, folder, settings) as runtimes, asyncio.timeout(60):
        await runtimes.warm_up()
        yield runtimes


async def test_a_new_conversation_gets_the_one_that_waits_and_another_one_waits_then(
    docker_engine: Engine, runtimes: DockerRuntimes, folder: Path
) -> None:
    [(waited, _)] = containers(docker_engine, runtimes)
    async with opened(runtimes) as runtime:
        await run(runtime, 0, "echo $OHS_ACTION_ID > file; echo kept > ~/file")
        assert (await runtime.files.read("file")).decode().strip() == key(0)
        await runtime.files.write("other", b"of the server")
        assert (await run(runtime, 1, "cat other; echo more >> other")).output == "of the server"
        await runtimes.warm_up()
        assert {standing.conversation: standing.keep for standing in await runtimes.survey()} == {SID: True, None: True}
        assert waited in [each for each, _ in containers(docker_engine, runtimes)]
    await runtimes.discard(SID)
    assert waited not in [each for each, _ in containers(docker_engine, runtimes)]
    assert [path.name[:5] for path in folder.iterdir() if path.is_dir()] == ["warm-"]


async def test_one_that_waited_is_created_again_with_its_workspace(
    docker_engine: Engine, runtimes: DockerRuntimes
) -> None:
    [(waited, _)] = containers(docker_engine, runtimes)
    async with opened(runtimes) as runtime:
        await run(runtime, 0, "echo kept | tee file ~/file")
        with closing(docker_engine.client()) as client:
            await asyncio.to_thread(client.containers.get(waited).kill)
        assert (await run(runtime, 1, "cat file ~/file")).output == "kept\nkept\n"
        assert await run(runtime, 0, "echo again >> file") == await runtime.inquire(key(0))


async def test_a_workspace_with_files_in_it_gets_a_container_of_its_own(
    docker_engine: Engine, runtimes: DockerRuntimes
) -> None:
    [(waited, _)] = containers(docker_engine, runtimes)
    async with opened(runtimes) as runtime:
        await runtime.files.write("file", b"mine")
        assert (await run(runtime, 0, "cat file")).output == "mine"
    async with runtimes.open(RuntimeSpec(sid=OTHER, term=1)) as runtime:
        assert (await run(runtime, 0, "ls")).output == ""
    names = {standing.conversation for standing in await runtimes.survey()}
    assert names == {SID, OTHER}
    assert waited in [each for each, _ in containers(docker_engine, runtimes)]


async def test_one_that_died_while_it_waited_is_not_used(docker_engine: Engine, runtimes: DockerRuntimes) -> None:
    [(waited, _)] = containers(docker_engine, runtimes)
    with closing(docker_engine.client()) as client:
        await asyncio.to_thread(client.containers.get(waited).kill)
    async with opened(runtimes) as runtime:
        assert (await run(runtime, 0, "echo on")).output == "on\n"
    assert waited not in [each for each, _ in containers(docker_engine, runtimes)]


async def test_one_that_a_killed_server_was_giving_away_is_created_again(
    docker_engine: Engine, runtimes: DockerRuntimes, folder: Path
) -> None:
    [(waited, _)] = containers(docker_engine, runtimes)
    place = SandboxPaths(folder / folder_name(SID), PLAIN.owner)
    place.create(place.home)
    place.write_conversation(SID)
    [waiting] = folder.glob("warm-*")
    with closing(docker_engine.client()) as client:
        name = container_name(runtimes.instance, folder_name(SID))
        await asyncio.to_thread(client.containers.get(waited).rename, name)
    (waiting / "workspace").rename(place.workspace)
    settings = replace(PLAIN, image=docker_engine.base)
    async with open_docker(folder, settings, address=docker_engine.address) as later:
        [standing] = await later.survey()
        assert (standing.conversation, standing.keep) == (SID, True)
        async with opened(later, term=2) as runtime:
            assert await runtime.inquire(key(0)) == UnknownAction()
            assert (await run(runtime, 0, "echo $OHS_ACTION_ID")).output == f"{key(0)}\n"
            await later.reap()
            assert (await run(runtime, 1, "echo on")).output == "on\n"
            assert waited not in [each for each, _ in containers(docker_engine, runtimes)]


async def test_none_waits_after_the_end(docker_engine: Engine, folder: Path) -> None:
    async with docker_runtimes(docker_engine, folder) as keeper:
        async with docker_runtimes(docker_engine, folder, replace(PLAIN, warm=2)) as runtimes:
            await comes_to(docker_engine, runtimes, "running", "running")
        assert containers(docker_engine, keeper) == []
        assert [path for path in folder.iterdir() if path.is_dir()] == []


async def test_a_create_that_is_cancelled_ends_when_the_container_can_be_removed(
    docker_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, create, name = threading.Event(), engine._create, f"openhands-sessions-test-{secrets.token_hex(8)}"

    def slow(client: Any, *about: Any) -> str:
        asked.set()
        time.sleep(0.3)  # as an engine that is busy
        return create(client, *about)

    monkeypatch.setattr(engine, "_create", slow)
    reached = engine.DockerEngine(docker_engine.address)
    try:
        making = asyncio.create_task(reached.create(name, {"Image": docker_engine.base, "Cmd": ["true"]}, {}))
        await asyncio.to_thread(asked.wait, 30)
        making.cancel()
        await asyncio.wait([making])
        assert making.cancelled()
        await reached.remove(name)
    finally:
        await reached.close()
    with closing(docker_engine.client()) as client:
        assert client.api.containers(all=True, filters={"name": name}) == []


async def test_one_that_a_killed_server_left_waiting_is_reaped(docker_engine: Engine, data_dir: Path) -> None:
    settings = {
        "OHS_RUNTIME__KIND": "docker",
        "OHS_DOCKER__ADDRESS": docker_engine.address,
        "OHS_DOCKER__IMAGE": docker_engine.base,
        "OHS_DOCKER__NETWORK": "none",
    }
    async with docker_runtimes(docker_engine, data_dir / "runtimes" / "docker") as keeper:
        async with running_server(data_dir, settings) as server:
            await comes_to(docker_engine, keeper, "running")
            shell = CommandLine(data_dir, settings)
            [standing] = json.loads((await shell.run("sandbox", "ls", "--json")).out)
            assert standing["why"] == "waits for a conversation"
            await server.killed()
            [reaped] = json.loads((await shell.run("sandbox", "reap", "--json")).out)
            assert reaped["why"] == "left behind by a server that was killed"
        assert containers(docker_engine, keeper) == []
