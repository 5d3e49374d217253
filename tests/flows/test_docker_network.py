"""What a sandbox reaches over the network, tried from inside."""

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from openhands_sessions.adapters.runtimes.docker.runtimes import DockerRuntimes
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.runtime import Runtime, RuntimeSpec
from tests.support.docker_engine import USUAL, Engine
from tests.support.docker_sandboxes import LOOK_AGAIN, PLAIN, docker_runtimes
from tests.support.sandboxes import SID, opened, run

OTHER = ConversationId("other")
PUBLIC = "203.0.113.7"
"""Of a range that is kept for examples: no network has it."""
_SERVE = """
import socket
service = socket.create_server(("", 0))
print(service.getsockname()[1], flush=True)
while True:
    service.accept()
"""
_REACH = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 3).close()
    print("reached")
except TimeoutError:
    print("silent")
except OSError:
    print("refused")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sandboxes"


@pytest.fixture
async def runtimes(docker_engine: Engine, folder: Path) -> AsyncIterator[DockerRuntimes]:
    settings = replace(PLAIN, network="egress")
    async with docker_runtimes(docker_engine, folder, settings) as runtimes, asyncio.timeout(60):
        yield runtimes


@pytest.fixture
def public_address(docker_engine: Engine) -> Iterator[str]:
    """Of this machine, as a public one looks from an engine that has a network of its own."""
    if docker_engine.address == USUAL or os.geteuid() != 0:
        pytest.skip("an engine in our own network takes every address here for the host's")
    address = [f"{PUBLIC}/32", "dev", "lo"]
    subprocess.run(["ip", "address", "replace", *address], check=True)
    try:
        yield PUBLIC
    finally:
        subprocess.run(["ip", "address", "delete", *address], check=True)


@pytest.fixture
def host_port(docker_engine: Engine) -> Iterator[int]:
    """Of a service on all addresses of the machine that the engine runs on."""
    with closing(docker_engine.client()) as client:
        words = ["python3", "-c", _SERVE]
        made = client.containers.run(docker_engine.base, words, detach=True, network_mode="host")
        try:
            while not (said := made.logs()).endswith(b"\n"):
                time.sleep(LOOK_AGAIN)
            yield int(said)
        finally:
            made.remove(force=True)


async def test_a_sandbox_reaches_no_service_of_the_host(
    docker_engine: Engine, runtimes: DockerRuntimes, folder: Path, host_port: int
) -> None:
    async with opened(runtimes) as runtime:
        assert await reaching(runtime, await gateway(runtime), host_port) == "refused"
    settings = replace(PLAIN, network="open")
    spec = RuntimeSpec(sid=OTHER, term=1)
    async with docker_runtimes(docker_engine, folder, settings) as open_ones, open_ones.open(spec) as runtime:
        assert await reaching(runtime, await gateway(runtime), host_port) == "reached"


@pytest.mark.parametrize("address", ["169.254.169.254", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1"])
async def test_a_sandbox_reaches_no_private_address(runtimes: DockerRuntimes, address: str) -> None:
    async with opened(runtimes) as runtime:
        assert await reaching(runtime, address, 80) == "refused"


async def test_a_sandbox_reaches_no_other_one(runtimes: DockerRuntimes) -> None:
    async with opened(runtimes) as here, runtimes.open(RuntimeSpec(sid=OTHER, term=1)) as there:
        await run(there, 0, "cd /tmp; python3 -m http.server 8000 >/dev/null 2>&1 &")
        address = (await run(there, 1, "hostname -i")).output.strip()
        await run(there, 2, f"until (exec 3<>/dev/tcp/{address}/8000) 2>/dev/null; do sleep 0.05; done")
        assert await reaching(here, address, 8000) != "reached"


async def test_a_sandbox_reaches_public_addresses(runtimes: DockerRuntimes, public_address: str) -> None:
    with socket.create_server((public_address, 0)) as service:
        async with opened(runtimes) as runtime:
            assert await reaching(runtime, public_address, service.getsockname()[1]) == "reached"


async def test_where_the_rules_cannot_be_set_there_is_no_network_and_it_is_told(
    docker_engine: Engine, folder: Path
) -> None:
    steps: list[str] = []
    settings = replace(PLAIN, network="egress")
    async with docker_runtimes(docker_engine, folder, settings, firewall="openhands-sessions-none") as runtimes:
        spec = RuntimeSpec(sid=SID, term=1, on_step=lambda status, words: steps.append(words))
        async with runtimes.open(spec) as runtime:
            assert (await run(runtime, 0, "ls /sys/class/net")).output == "lo\n"
    assert any("no network" in words and "make images" in words for words in steps)


async def gateway(runtime: Runtime) -> str:
    """The address of the engine's machine in the sandbox's network."""
    found = await run(runtime, 90, "awk '$2 == \"00000000\" { print $3 }' /proc/net/route")
    return socket.inet_ntoa(bytes.fromhex(found.output.strip())[::-1])


async def reaching(runtime: Runtime, address: str, port: int) -> str:
    """`reached`, `refused` at once, or `silent`."""
    await runtime.files.write("reach.py", _REACH.encode())
    return (await run(runtime, 91, f"python3 reach.py {address} {port}")).output.strip()
