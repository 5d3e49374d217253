"""What happens to sandboxes when their server ends, and when no conversation needs them: ours are kept or go as the
policy says, others stay as they are."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from openhands_sessions.adapters.runtimes.docker.container_spec import CONVERSATION, INSTANCE, TERM, WARM
from openhands_sessions.adapters.runtimes.docker.runtimes import DockerRuntimes
from openhands_sessions.core.ids import ConversationId, folder_name
from tests.support.command_line import CommandLine
from tests.support.docker_engine import Engine
from tests.support.docker_sandboxes import PATIENCE, comes_to, docker_runtimes
from tests.support.running_server import Server, prepared_server
from tests.support.server_clients import Clients
from tests.support.socket_clients import Protocol2Client

SCRIPT = """\
name: policy
replies:
  - when: rest
    steps:
      - {call: execute_bash, with: {command: "echo kept > file"}}
      - {say: "I rest."}
  - when: work
    steps:
      - {call: execute_bash, with: {command: "echo kept > file; echo begun; sleep 999", timeout: 999}}
      - {say: "Never said."}
"""
OLDER = secrets.token_hex(8)


@pytest.fixture
def others(docker_engine: Engine) -> Iterator[dict[str, str]]:
    """Containers of others, and all kinds of an older instance. Their ids and states."""
    older = {INSTANCE: OLDER}
    labels: tuple[dict[str, str], ...] = (
        {},
        {"owner": "somebody"},
        {**older, CONVERSATION: "talk", TERM: "1"},
        {**older, WARM: "mark"},
        older,
    )
    with closing(docker_engine.client()) as client:
        made = [
            client.containers.run(docker_engine.base, ["sleep", "600"], detach=True, init=True, labels=each)
            for each in labels
        ]
        network = client.networks.create(f"openhands-sessions-{OLDER}-egress", labels=older)
        try:
            made[1].pause()
            yield how_they_are(docker_engine, [each.id for each in made])
            assert [each.id for each in client.networks.list(filters={"label": f"{INSTANCE}={OLDER}"})] == [network.id]
        finally:
            for each in made:
                each.remove(force=True)
            network.remove()


def how_they_are(engine: Engine, ids: list[str]) -> dict[str, str]:
    """Status and beginning of each, by its id."""
    with closing(engine.client()) as client:
        found = [client.api.inspect_container(each)["State"] for each in ids]
    return {each: f"{state['Status']} {state['StartedAt']}" for each, state in zip(ids, found, strict=True)}


@pytest.fixture
def folder(data_dir: Path) -> Path:
    return data_dir / "runtimes" / "docker"


@pytest.fixture
async def sandboxes(docker_engine: Engine, folder: Path) -> AsyncIterator[DockerRuntimes]:
    async with docker_runtimes(docker_engine, folder) as runtimes:
        yield runtimes


@pytest.fixture
def settings(docker_engine: Engine) -> dict[str, str]:
    return {
        "OHS_RUNTIME__KIND": "docker",
        "OHS_DOCKER__ADDRESS": docker_engine.address,
        "OHS_DOCKER__IMAGE": docker_engine.base,
        "OHS_DOCKER__NETWORK": "none",
        "OHS_DOCKER__WARM": "1",
    }


@pytest.fixture
async def server(sandboxes: DockerRuntimes, data_dir: Path, settings: dict[str, str]) -> AsyncIterator[Server]:
    async with prepared_server(data_dir, settings) as server:
        yield server


async def talk(server: Server, clients: Clients, name: str) -> tuple[Protocol2Client, int]:
    """A conversation with this request; the id of its message."""
    client = clients.protocol2(await clients.rest.create(llm_model=server.script("policy", SCRIPT)))
    await client.connect()
    said = await client.say(name)
    if name == "work":
        await client.until(lambda: any("begun" in stream.text for stream in client.streams.values()))
    else:
        await client.until_state("awaiting_user_input", after=said)
    return client, said


async def standing(sandboxes: DockerRuntimes) -> dict[str | None, str]:
    """How the instance's containers are, by their conversations."""
    return {each.conversation: each.status for each in await sandboxes.survey()}


@pytest.mark.parametrize("keep", [True, False])
async def test_ours_are_kept_or_go_as_the_policy_says_and_others_stay(
    docker_engine: Engine,
    server: Server,
    sandboxes: DockerRuntimes,
    settings: dict[str, str],
    others: dict[str, str],
    folder: Path,
    keep: bool,
) -> None:
    await server.start()
    async with Clients(server.url) as clients:
        resting, _ = await talk(server, clients, "rest")
        working, _ = await talk(server, clients, "work")
        deleted, _ = await talk(server, clients, "rest")
        await clients.rest.delete(deleted.sid)
        assert await server.stopped() == 0
        assert await standing(sandboxes) == {resting.sid: "paused", working.sid: "running"}
        assert not place(folder, deleted.sid).exists()

        assert (await CommandLine(server.data_dir, settings).run("sandbox", "reap")).code == 0
        assert await standing(sandboxes) == {resting.sid: "paused", working.sid: "running"}

        brief = {"OHS_DOCKER__PAUSE_AFTER": "0.1", "OHS_DOCKER__REMOVE_AFTER": "0.1", "OHS_DOCKER__WARM": "0"}
        settings |= {**brief, "OHS_DOCKER__KEEP_WORKSPACE": str(keep)}
        await server.start()
        await comes_to(docker_engine, sandboxes, "running")
        assert await standing(sandboxes) == {working.sid: "running"}
        await becomes(place(folder, resting.sid) / "workspace/file", exists=keep)

        await clients.rest.delete(working.sid)
        await comes_to(docker_engine, sandboxes)
        await becomes(place(folder, working.sid), exists=False)
        assert await server.stopped() == 0
    assert how_they_are(docker_engine, list(others)) == others


async def becomes(path: Path, *, exists: bool) -> None:
    """A workspace goes after its container."""
    async with asyncio.timeout(PATIENCE):
        while path.exists() != exists:  # noqa: ASYNC110 - nothing tells us but the folder itself
            await asyncio.sleep(0.02)


def place(folder: Path, sid: str) -> Path:
    return folder / folder_name(ConversationId(sid))
