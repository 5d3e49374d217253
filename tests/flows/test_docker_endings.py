"""In a container: input reaches the reading process, and what ends a command ends all its processes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from openhands_sessions.ports.runtime import RunCommand, Runtime
from tests.support.docker_engine import Engine
from tests.support.docker_sandboxes import docker_runtimes
from tests.support.sandboxes import Hearing, key, opened, perform, run

DEAF = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('begun', flush=True); time.sleep(999)"
TREES = {
    "a pipeline of a subshell": "(echo begun; sleep 999; echo never) | cat",
    "one that ignores the interrupt": f'python3 -I -S -c "{DEAF}"; echo never',
    "a child in a session of its own": "setsid -w sh -c 'echo begun; sleep 999'; echo never",
    "a daemon": "nohup setsid sleep 999 > /dev/null 2>&1 & echo begun; sleep 999",
    "a stopped job": "sleep 999 & kill -STOP $!; echo begun; sleep 999",
}
ALL = pytest.mark.parametrize("command", TREES.values(), ids=TREES.keys())


@pytest.fixture
async def runtime(docker_engine: Engine, tmp_path: Path) -> AsyncIterator[Runtime]:
    async with (
        docker_runtimes(docker_engine, tmp_path / "sandboxes") as runtimes,
        asyncio.timeout(30),
        opened(runtimes) as runtime,
    ):
        yield runtime


async def left_of(runtime: Runtime, action: int) -> str:
    """The processes that an action has started and that have not ended."""
    look = f"grep -lz OHS_ACTION_ID={key(action)}$ /proc/[0-9]*/environ 2>/dev/null | xargs -r -n1 dirname"
    return (
        await run(runtime, action + 1, f"for each in $({look}); do tr '\\0' ' ' < $each/cmdline; echo; done")
    ).output


@ALL
async def test_an_interrupt_ends_the_whole_tree_and_the_shell_lives(runtime: Runtime, command: str) -> None:
    await run(runtime, 0, "colour=blue")
    hearing = Hearing()
    running = asyncio.create_task(run(runtime, 1, command, hearing))
    await hearing.hears("begun")
    async with asyncio.timeout(5):
        await runtime.interrupt(key(1))
        done = await running
    assert (done.ended, done.exit_code) == ("interrupted", None)
    assert "never" not in done.output
    assert await left_of(runtime, 1) == ""
    assert (await run(runtime, 3, "echo $colour")).output == "blue\n"


async def test_the_time_limit_ends_the_whole_tree(runtime: Runtime) -> None:
    done = await perform(runtime, 1, RunCommand(command=TREES["a daemon"], timeout=0.5))
    assert (done.ended, done.exit_code) == ("timeout", None)
    assert await left_of(runtime, 1) == ""


async def test_what_is_left_of_a_command_would_be_seen(runtime: Runtime) -> None:
    await run(runtime, 1, "sleep 999 &")
    assert await left_of(runtime, 1) == "sleep 999 \n"


async def test_input_reaches_the_process_that_reads_the_terminal(runtime: Runtime) -> None:
    hearing = Hearing()
    command = "(sh -c 'echo begun; read go; echo $go; python3 -I -S -c \"print(input())\"') | cat"
    running = asyncio.create_task(run(runtime, 0, command, hearing))
    await hearing.hears("begun")
    assert await runtime.send_input("on\n")
    await hearing.hears("on")
    assert await runtime.send_input("and on\n")
    assert (await running).output == "begun\non\nand on\n"


async def test_ctrl_c_reaches_the_whole_pipeline(runtime: Runtime) -> None:
    hearing = Hearing()
    running = asyncio.create_task(run(runtime, 1, TREES["a pipeline of a subshell"], hearing))
    await hearing.hears("begun")
    assert await runtime.send_input("\x03")
    async with asyncio.timeout(5):
        assert "never" not in (await running).output
    assert await left_of(runtime, 1) == ""
