"""A process that listens in place of an executor and lies or is silent: it is not trusted, blocks nothing, and is
replaced."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from openhands_sessions.adapters.runtimes.docker.runtimes import DockerRuntimes, open_docker
from openhands_sessions.adapters.runtimes.executor_client.connection import listener_pid
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.ports.runtime import Lost, UnknownAction
from tests.support.docker_engine import Engine
from tests.support.docker_sandboxes import PLAIN, comes_to, containers, docker_runtimes
from tests.support.sandboxes import SID, key, opened, run

PROMPT = replace(PLAIN, answer_within=1.0)
LIES = {
    "no frames": b"HTTP/1.1 200 OK\r\n\r\n",
    "an endless frame": b"\xff\xff\xff\xff" + b"x" * 100,
    "deep nonsense": b"\x00\x00\x20\x00" + b"[" * 8192,
    "another version": b'\x00\x00\x00\x0f{"version":"1"}',
    "silence": b"",
    "a hello, and silence": b'\x00\x00\x00\x0d{"version":1}',
}
WRONG = b'\x00\x00\x00\x0d{"version":1}\x00\x00\x00\x29{"id":1,"outcome":{"exit_code":"zero","o":1}}'
LIAR = """
import contextlib, os, socket
os.chdir("/run/executor")
os.unlink("executor.sock")
listening = socket.socket(socket.AF_UNIX, socket.KIND)
listening.bind("executor.sock")
listening.listen()
print("lying", flush=True)
clients = []
while True:
    clients.append(listening.accept()[0])
    with contextlib.suppress(OSError):
        clients[-1].sendall(LIE)
"""
IN_ITS_PLACE = {
    "nothing": "rm executor.sock",
    "a folder": "rm executor.sock; mkdir executor.sock; touch executor.sock/full",
    "a link": "ln -sf /nowhere executor.sock",
    "a socket of packets": "rm executor.sock; python3 -c 'import socket; "
    'socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).bind("executor.sock")\'',
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sandboxes"


@pytest.fixture
async def runtimes(docker_engine: Engine, folder: Path) -> AsyncIterator[DockerRuntimes]:
    async with docker_runtimes(docker_engine, folder, PROMPT) as runtimes, asyncio.timeout(60):
        yield runtimes


async def lies(runtimes: DockerRuntimes, lie: bytes) -> None:
    """Have a command put a liar in the executor's place."""
    liar = LIAR.replace("KIND", "SOCK_STREAM").replace("LIE", repr(lie))
    async with opened(runtimes) as runtime:
        await runtime.files.write("liar.py", liar.encode())
        await run(runtime, 0, "(setsid python3 liar.py > said &); until grep -q lying said; do sleep 0.05; done")


@pytest.mark.parametrize("lie", LIES)
async def test_one_that_lies_is_not_believed_and_replaced(
    docker_engine: Engine, runtimes: DockerRuntimes, lie: str
) -> None:
    await lies(runtimes, LIES[lie])
    [(liar, _)] = containers(docker_engine, runtimes)
    async with opened(runtimes, term=2) as runtime:
        assert (await run(runtime, 1, "cat said")).output == "lying\n"
    assert containers(docker_engine, runtimes)[0][0] != liar


async def test_a_wrong_answer_is_not_believed(runtimes: DockerRuntimes) -> None:
    await lies(runtimes, WRONG)
    async with opened(runtimes, term=2) as runtime:
        with pytest.raises(RuntimeUnavailable):
            await run(runtime, 1, "true")


async def test_one_that_keeps_silent_holds_neither_a_server_that_ends_nor_the_next(
    docker_engine: Engine, runtimes: DockerRuntimes, folder: Path
) -> None:
    patient = replace(PLAIN, answer_within=600, image=docker_engine.base, pull=False)
    async with open_docker(folder, patient, address=docker_engine.address) as ending:
        await lies(ending, LIES["a hello, and silence"])
    assert [status for _, status in containers(docker_engine, runtimes)] == ["paused"]
    async with opened(runtimes, term=2) as runtime:
        assert await runtime.inquire(key(1)) == UnknownAction()
    await runtimes.discard(SID)
    assert containers(docker_engine, runtimes) == []


@pytest.mark.parametrize("lie", ["silence", "a hello, and silence"])
async def test_one_that_keeps_silent_is_put_to_rest_and_removed(docker_engine: Engine, folder: Path, lie: str) -> None:
    settings = replace(PROMPT, pause_after=0.2, remove_after=0.2)
    async with docker_runtimes(docker_engine, folder, settings) as runtimes:
        await lies(runtimes, LIES[lie])
        await comes_to(docker_engine, runtimes)


@pytest.mark.parametrize("other", IN_ITS_PLACE)
async def test_one_that_cannot_be_reached_is_paused_or_created_again(
    docker_engine: Engine, folder: Path, other: str
) -> None:
    settings = replace(PROMPT, pause_after=0.2)
    async with docker_runtimes(docker_engine, folder, settings) as runtimes:
        async with opened(runtimes) as runtime:
            await run(runtime, 0, f"echo kept > file; cd /run/executor; {IN_ITS_PLACE[other]}")
            [(container, _)] = containers(docker_engine, runtimes)
        await comes_to(docker_engine, runtimes, "paused")
        async with opened(runtimes, term=2) as runtime:
            assert (await run(runtime, 1, "cat file")).output == "kept\n"
        assert containers(docker_engine, runtimes)[0][0] != container


@pytest.mark.parametrize("stop", ["kill -STOP $PPID", "kill -STOP -1"])
async def test_one_that_a_command_stops_is_told_and_replaced(
    docker_engine: Engine, runtimes: DockerRuntimes, stop: str
) -> None:
    async with opened(runtimes) as runtime:
        with pytest.raises(RuntimeUnavailable, match="did not answer"):
            await run(runtime, 0, f"echo x >> runs; {stop}; sleep 600")
        assert await runtime.inquire(key(0)) == Lost()
        assert (await run(runtime, 1, "cat runs")).output == "x\n"


async def test_the_next_server_replaces_one_that_was_stopped(runtimes: DockerRuntimes) -> None:
    async with opened(runtimes) as runtime:
        await run(runtime, 0, "echo x >> runs")
        executor = await listener_pid(runtimes.lifecycle(SID).paths.socket)
        assert executor is not None
        os.kill(executor, signal.SIGSTOP)
    async with opened(runtimes, term=2) as runtime:
        assert (await run(runtime, 1, "cat runs")).output == "x\n"
