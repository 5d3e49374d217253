"""Sandboxes of an engine on another machine, which shares no folder with the server."""

import asyncio
import hashlib
import json
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from openhands_sessions.adapters.runtimes.docker.container_spec import INSTANCE, PORT, STATE
from openhands_sessions.adapters.runtimes.docker.runtimes import DockerRuntimes
from openhands_sessions.adapters.runtimes.executor_client.connection import connect_port
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.core.ids import folder_name
from openhands_sessions.ports.runtime import Lost, Running
from tests.support.command_line import CommandLine
from tests.support.docker_engine import Engine
from tests.support.docker_far import certify, far
from tests.support.docker_sandboxes import LOOK_AGAIN, PLAIN, comes_to, containers, docker_runtimes
from tests.support.running_server import running_server
from tests.support.sandboxes import SID, Hearing, key, opened, run
from tests.support.server_clients import Clients

MIB = 1 << 20
SLOWLY = """\
name: slowly
replies:
  - steps:
      - {call: execute_bash, with: {command: "echo $OHS_ACTION_ID >> ran; echo begun; sleep 1; echo over"}}
      - {say: "All done."}
"""


@pytest.fixture
def engine(docker_engine: Engine) -> Iterator[Engine]:
    with far(docker_engine) as engine:
        yield engine


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a server of `tmp_path / "data"` keeps what it knows of its sandboxes."""
    return tmp_path / "data" / "runtimes" / "docker"


@pytest.fixture
async def sandboxes(engine: Engine, folder: Path) -> AsyncIterator[DockerRuntimes]:
    async with docker_runtimes(engine, folder) as runtimes:
        yield runtimes
        await runtimes.discard(SID)


def volumes(engine: Engine, sandboxes: DockerRuntimes) -> list[str]:
    with closing(engine.client()) as client:
        found = client.volumes.list(filters={"label": f"{INSTANCE}={sandboxes.instance}"})
    return [volume.name for volume in found if "-program-" not in volume.name]


async def pieces(size: int) -> AsyncIterator[bytes]:
    for number in range(size // MIB):
        yield bytes([number]) * MIB


async def test_files_go_both_ways_through_the_executor(sandboxes: DockerRuntimes) -> None:
    digest = hashlib.sha256()
    async with opened(sandboxes) as runtime:
        assert await runtime.files.receive("in/large", pieces(24 * MIB), limit=24 * MIB) == 24 * MIB
        assert await runtime.files.list("in") == ["large"]
        async for piece in runtime.files.pieces("in/large"):
            digest.update(piece)
        done = await run(runtime, 0, "sha256sum < in/large; stat -c %u in/large; id -u")
        packed = b"".join([piece async for piece in runtime.files.archive()])
    said, owner, user = done.output.split("\n")[:3]
    assert said.split()[0] == digest.hexdigest()
    assert owner == user != "0"
    assert packed.startswith(b"PK")


async def test_the_next_server_finds_the_running_command_and_the_files(
    engine: Engine, sandboxes: DockerRuntimes, folder: Path
) -> None:
    async with opened(sandboxes) as runtime:
        assert (await run(runtime, 0, "echo kept > x; PLACE=here")).exit_code == 0
    async with docker_runtimes(engine, folder) as next_server, opened(next_server, term=2) as runtime:
        assert (await run(runtime, 1, "cat x; echo $PLACE")).output == "kept\nhere\n"


async def test_what_ran_when_the_container_was_killed_is_lost_and_the_files_are_kept(
    engine: Engine, sandboxes: DockerRuntimes
) -> None:
    async with opened(sandboxes) as runtime:
        await run(runtime, 0, "echo kept > x")
        hearing = Hearing()
        with closing(engine.client()) as client:
            [(container, _)] = containers(engine, sandboxes)

            def kill() -> None:
                client.containers.get(container).kill()

            async def killed() -> None:
                await hearing.hears("begun")
                assert await runtime.inquire(key(1)) == Running()
                await asyncio.to_thread(kill)

            ending = asyncio.create_task(killed())
            with pytest.raises(RuntimeUnavailable, match="ended from outside"):
                await run(runtime, 1, "echo begun; sleep 60", hearing)
            await ending
        assert await runtime.inquire(key(1)) == Lost()
        assert (await run(runtime, 2, "cat x")).output == "kept\n"


async def test_no_client_connects_without_the_secret_and_no_command_sees_it(
    engine: Engine, sandboxes: DockerRuntimes, folder: Path
) -> None:
    async with opened(sandboxes) as runtime:
        environment = (await run(runtime, 0, f"env; ls -a {STATE}; cat /proc/*/cmdline | tr '\\0' ' '")).output
        [(container, _)] = containers(engine, sandboxes)
        with closing(engine.client()) as client:
            described = client.api.inspect_container(container)
        [published] = described["NetworkSettings"]["Ports"][f"{PORT}/tcp"]
        assert published["HostIp"] == engine.there
        secret = (folder / folder_name(SID) / "secret").read_text()
        assert len(secret) == 64
        assert secret not in environment + json.dumps(described)
        assert "\nsecret\n" not in environment
        for wrong in ("", "wrong", secret[:-1]):
            with pytest.raises(RuntimeUnavailable, match="secret"):
                await connect_port(engine.there, int(published["HostPort"]), secret=wrong, term=9)
        link = await connect_port(engine.there, int(published["HostPort"]), secret=secret, term=1)
        assert link is not None
        await link.close()


async def test_without_a_network_only_the_server_reaches_in_and_nothing_leads_out(
    engine: Engine, sandboxes: DockerRuntimes
) -> None:
    with socket.create_server((engine.us if engine.namespace else "127.0.0.1", 0)) as listening:
        host, port = listening.getsockname()[:2]
        async with opened(sandboxes) as runtime:
            for there in (f"{host}/{port}", f"{engine.there}/{engine.address.rpartition(':')[2]}"):
                done = await run(runtime, port + len(there), f"timeout 5 bash -c 'exec 3<>/dev/tcp/{there}'")
                assert done.exit_code not in (0, None)


async def test_a_discarded_sandbox_leaves_no_volume(engine: Engine, sandboxes: DockerRuntimes, folder: Path) -> None:
    async with opened(sandboxes) as runtime:
        await run(runtime, 0, "echo x > x")
    assert len(volumes(engine, sandboxes)) == 3
    await sandboxes.discard(SID)
    assert (volumes(engine, sandboxes), containers(engine, sandboxes)) == ([], [])
    assert not (folder / folder_name(SID)).exists()


async def test_volumes_go_with_their_container_where_that_is_the_policy_but_for_the_record_of_actions(
    engine: Engine, folder: Path
) -> None:
    settings = replace(PLAIN, pause_after=0.1, remove_after=0.1, keep_workspace=False)
    async with docker_runtimes(engine, folder, settings) as sandboxes:
        async with opened(sandboxes) as runtime:
            await run(runtime, 0, "echo x > file; echo said")
        await comes_to(engine, sandboxes)
        for _ in range(500):  # they go a moment after it
            if len(volumes(engine, sandboxes)) == 1:
                break
            await asyncio.sleep(LOOK_AGAIN)
        async with opened(sandboxes) as runtime:
            assert (await run(runtime, 0, "echo twice")).output == "said\n"
            assert (await run(runtime, 1, "ls; echo nothing")).output == "nothing\n"
        await sandboxes.discard(SID)
        assert volumes(engine, sandboxes) == []


async def test_a_command_runs_once_though_the_server_is_killed_meanwhile(
    engine: Engine, sandboxes: DockerRuntimes, tmp_path: Path
) -> None:
    settings = {
        "OHS_RUNTIME__KIND": "docker",
        "OHS_DOCKER__ADDRESS": engine.address,
        "OHS_DOCKER__IMAGE": engine.base,
        "OHS_DOCKER__NETWORK": "none",
        "OHS_DOCKER__FIREWALL_IMAGE": engine.base,
    }
    async with running_server(tmp_path / "data", settings) as server, Clients(server.url) as clients:
        sid = await clients.rest.create(llm_model=server.script("slowly", SLOWLY))
        client = clients.protocol2(sid)
        await client.connect()
        said = await client.say("go")
        await client.until(lambda: any("begun" in stream.text for stream in client.streams.values()))
        await server.killed()
        await server.start()
        await client.connect()
        await client.until_state("awaiting_user_input", after=said)
        [ran] = [event for event in await clients.rest.events(sid) if event.get("observation") == "run"]
        assert ran["content"].split() == ["begun", "over"]
        status, shown = await clients.rest.ask("GET", f"/api/conversations/{sid}/select-file", file="ran")
        assert (status, len(shown["code"].split())) == (200, 1)
        await clients.rest.delete(sid)


async def test_an_engine_with_tls_is_used_with_a_client_certificate(docker_engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "certificates"
    certify(folder, docker_engine.there)
    trusted = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(folder)}
    trusted |= dict.fromkeys(("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), "")  # they go before it, where they are set
    with far(docker_engine, folder) as engine:
        settings = {
            "OHS_RUNTIME__KIND": "docker",
            "OHS_DOCKER__ADDRESS": engine.address,
            "OHS_DOCKER__IMAGE": docker_engine.base,
            "OHS_DOCKER__FIREWALL_IMAGE": docker_engine.base,
            "OHS_SERVER__PORT": "0",
        }
        code, checks = await _looked(tmp_path / "data", settings | trusted)
        assert (code, checks["network"], checks["sandbox"]) == (0, "ok", "ok")
        code, checks = await _looked(tmp_path / "data", settings)
        assert (code, checks["docker"]) == (1, "fail")


async def _looked(data_dir: Path, settings: Mapping[str, str]) -> tuple[int, dict[str, str]]:
    done = await CommandLine(data_dir, settings).run("doctor", "--json")
    return done.code, {check["name"]: check["status"] for check in json.loads(done.out)["checks"]}


async def test_its_volumes_do_not_grow_beyond_their_limit_while_no_command_runs(engine: Engine, folder: Path) -> None:
    settings = replace(PLAIN, workspace_size=8 * MIB, look_every=0.1)
    async with docker_runtimes(engine, folder, settings) as sandboxes, opened(sandboxes) as runtime:
        fill = f"cd {STATE}; (for i in {{1..1000}}; do head -c 1M /dev/zero > fill$i; sleep 0.05; done) &"
        assert (await run(runtime, 0, fill)).ended == "exit"
        await comes_to(engine, sandboxes)
        done = await run(runtime, 1, f"rm {STATE}/fill*")
        assert (done.exit_code, "holds more than it may" in done.output) == (0, True)
        await sandboxes.discard(SID)
