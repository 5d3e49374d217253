"""The whole server over Docker sandboxes."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from openhands_sessions.adapters.runtimes.docker.runtimes import DockerRuntimes
from openhands_sessions.adapters.stores.sqlite import open_sqlite
from openhands_sessions.core.ids import ConversationId, folder_name
from tests.support.command_line import CommandLine
from tests.support.docker_engine import Engine
from tests.support.docker_sandboxes import comes_to, containers, docker_runtimes
from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients

ONCE = "echo $OHS_ACTION_ID >> ran; echo begun; id -u"
LONG = "echo $OHS_ACTION_ID >> ran; echo begun; until test -e go; do sleep 0.02; done; echo over; id -u"
SCRIPT = """\
name: commands
replies:
  - steps:
      - {call: execute_bash, with: {command: "%s"}}
      - {say: "All done."}
"""


@pytest.fixture
def folder(data_dir: Path) -> Path:
    """Where the server keeps its sandboxes."""
    return data_dir / "runtimes" / "docker"


@pytest.fixture
async def sandboxes(docker_engine: Engine, folder: Path) -> AsyncIterator[DockerRuntimes]:
    """Another look at the server's sandboxes; in the end it clears them away."""
    async with docker_runtimes(docker_engine, folder) as runtimes:
        yield runtimes


@pytest.fixture
async def server(docker_engine: Engine, sandboxes: DockerRuntimes, data_dir: Path) -> AsyncIterator[Server]:
    settings = {
        "OHS_RUNTIME__KIND": "docker",
        "OHS_DOCKER__ADDRESS": docker_engine.address,
        "OHS_DOCKER__IMAGE": docker_engine.base,
        "OHS_DOCKER__NETWORK": "none",
        "OHS_DOCKER__WARM": "0",
    }
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(running_server(data_dir, settings))


@pytest.mark.parametrize("way", ["killed", pytest.param("stopped", marks=pytest.mark.long)])
async def test_a_command_runs_once_in_its_container_though_the_server_ends_meanwhile(
    docker_engine: Engine, server: Server, sandboxes: DockerRuntimes, clients: Clients, folder: Path, way: str
) -> None:
    sid = await clients.rest.create(llm_model=server.script("commands", SCRIPT % LONG))
    client = clients.protocol2(sid)
    await client.connect()
    assert containers(docker_engine, sandboxes) == []
    said = await client.say("go")
    await client.until(lambda: any("begun" in stream.text for stream in client.streams.values()))
    told = [(status["id"], status["message"].partition(" (")[0]) for status in client.statuses if "id" in status]
    assert told[-3:] == [
        ("STATUS$STARTING_RUNTIME", "Container started, its executor is waited for"),
        ("STATUS$RUNTIME_STARTED", "Executor up"),
        ("STATUS$READY", "Workspace ready"),
    ]
    [(container, _)] = containers(docker_engine, sandboxes)
    await (server.killed() if way == "killed" else server.stopped())
    await server.start()
    await client.connect()
    await client.until(lambda: any("begun" in stream.text for stream in client.streams.values()))
    workspace = folder / folder_name(ConversationId(sid)) / "workspace"
    (workspace / "go").touch()
    await client.until_state("awaiting_user_input", after=said)
    [ran] = [event for event in await clients.rest.events(sid) if event.get("observation") == "run"]
    assert ran["content"].split()[:2] == ["begun", "over"]
    assert ran["content"].split()[2] != "0"
    assert len((workspace / "ran").read_text().split()) == 1
    assert [found for found, _ in containers(docker_engine, sandboxes)] == [container]


async def test_a_deleted_conversation_leaves_no_container_and_no_workspace(
    docker_engine: Engine, server: Server, sandboxes: DockerRuntimes, clients: Clients, folder: Path
) -> None:
    sid = await clients.rest.create(llm_model=server.script("commands", SCRIPT % ONCE))
    client = clients.protocol2(sid)
    await client.connect()
    await client.say("go")
    await client.until_state("awaiting_user_input", after=await client.say("go on"))
    assert len(containers(docker_engine, sandboxes)) == 1
    await clients.rest.delete(sid)
    await comes_to(docker_engine, sandboxes)
    assert not (folder / folder_name(ConversationId(sid))).exists()


async def test_the_command_line_tells_why_each_sandbox_is_kept_and_removes_the_others(
    docker_engine: Engine, server: Server, sandboxes: DockerRuntimes, clients: Clients, data_dir: Path, folder: Path
) -> None:
    sids = [await clients.rest.create(llm_model=server.script("commands", SCRIPT % ONCE)) for _ in range(2)]
    for sid in sids:
        client = clients.protocol2(sid)
        await client.connect()
        await client.until_state("awaiting_user_input", after=await client.say("go"))
    shell = CommandLine(data_dir, server.settings)
    listed = json.loads((await shell.run("sandbox", "ls", "--json")).out)
    assert {each["conversation"]: each["why"] for each in listed} == dict.fromkeys(sids, "its conversation is open")
    await server.stopped()
    async with open_sqlite(data_dir / "sessions.db") as store:
        await store.conversations.delete(ConversationId(sids[0]))
    [reaped] = json.loads((await shell.run("sandbox", "reap", "--json")).out)
    assert (reaped["conversation"], reaped["why"]) == (sids[0], "its conversation is gone")
    assert [status for _, status in containers(docker_engine, sandboxes)] == ["paused"]
    [cleared] = json.loads((await shell.run("sandbox", "clear", "--json")).out)
    assert (cleared["conversation"], cleared["keep"]) == (sids[1], False)
    assert containers(docker_engine, sandboxes) == []
    assert (folder / folder_name(ConversationId(sids[1])) / "workspace" / "ran").exists()
    [doctor] = [
        check for check in json.loads((await shell.run("doctor", "--json")).out)["checks"] if check["name"] == "docker"
    ]
    assert doctor["status"] == "ok"


async def test_a_kind_without_containers_says_so(data_dir: Path) -> None:
    done = await CommandLine(data_dir).run("sandbox", "ls")
    assert (done.code, done.out) == (2, "")
    assert "runtime.kind must be docker" in done.err
