"""A command is ended with every process that it has started, wherever they hid."""

import asyncio
from pathlib import Path

import pytest

from openhands_sessions.ports.runtime import RunCommand, Runtime
from tests.support.processes import marked
from tests.support.sandboxes import Hearing, key, perform, run

IGNORES = (
    "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('deaf', flush=True); time.sleep(1000)"
)
HEARS = "import signal, sys, time; signal.signal(signal.SIGINT, lambda *_: sys.exit(0)); time.sleep(1000)"
PARENT = "import subprocess, time; subprocess.Popen(['sleep', '1000'], start_new_session=True); time.sleep(1000)"

TREES = {
    "one process": "sleep 1000; echo never",
    "a pipeline of a subshell": "(sleep 1000; echo never) | cat",
    "a loop of the shell": "while true; do sleep 0.02; done",
    "a loop without a process": "while true; do :; done",
    "a function": "work() { sleep 1000; echo never; }; work; echo never",
    "a substitution": "x=$(sleep 1000; echo never); echo never",
    "a process substitution": "cat <(sleep 1000)",
    "a wait": "sleep 1000 & wait; echo never",
    "a read from the terminal": "read line; echo never",
    "one that takes it well": f'python3 -I -S -c "{HEARS}"; echo never',
    "a loop of one that ignores it": f'while :; do python3 -I -S -c "{IGNORES}"; done',
    "one that ignores the interrupt": f'python3 -I -S -c "{IGNORES}"; echo never',
    "a shell that ignores it": "sh -c 'trap \"\" INT; while :; do sleep 1000; done'; echo never",
    "one in a session of its own": "setsid -w sleep 1000; echo never",
    "a child in a session of its own": f'python3 -I -S -c "{PARENT}"',
    "a daemon": "nohup setsid sleep 1000 > /dev/null 2>&1 & sleep 1000",
    "a stopped job": "sleep 1000 & kill -STOP $!; sleep 1000",
}


@pytest.mark.parametrize("command", TREES.values(), ids=TREES.keys())
@pytest.mark.slow
async def test_the_whole_tree_is_ended_and_the_shell_lives(runtime: Runtime, tmp_path: Path, command: str) -> None:
    await run(runtime, 0, "colour=blue")
    hearing = Hearing()
    running = asyncio.create_task(run(runtime, 1, f"echo begun; {command}", hearing))
    await hearing.hears("deaf" if "deaf" in command else "begun")
    async with asyncio.timeout(20):
        await runtime.interrupt(key(1))
        done = await running
    assert (done.ended, done.exit_code) == ("interrupted", None)
    assert "never" not in done.output
    assert marked(key(1), str(tmp_path)) == []
    assert (await run(runtime, 2, "echo $colour")).output == "blue\n"


@pytest.mark.parametrize(
    "command",
    [
        "trap '' INT; echo begun; while :; do :; done",
        "trap 'echo no' INT; echo begun; while :; do :; done",
        "exec sh -c 'trap \"\" INT; echo begun; cat'",
    ],
)
@pytest.mark.slow
async def test_a_shell_that_will_not_listen_is_ended_too(runtime: Runtime, tmp_path: Path, command: str) -> None:
    await runtime.files.write("below/a", b"")
    await run(runtime, 0, "cd below; sleep 1000 > /dev/null 2>&1 &")
    hearing = Hearing()
    running = asyncio.create_task(run(runtime, 1, command, hearing))
    await hearing.hears("begun")
    async with asyncio.timeout(20):
        await runtime.interrupt(key(1))
        done = await running
    assert (done.ended, done.exit_code) == ("killed", None)
    assert "its variables" in done.output
    assert marked(key(1), str(tmp_path)) == []
    assert len(marked(key(0), str(tmp_path))) == 1
    assert (await run(runtime, 2, "ls")).working_dir == "/workspace/below"


async def test_the_time_limit_ends_the_tree(runtime: Runtime, tmp_path: Path) -> None:
    done = await perform(runtime, 0, RunCommand(command="sleep 1000 | setsid -w sleep 1000", timeout=0.1))
    assert (done.ended, done.exit_code) == ("timeout", None)
    assert marked(key(0), str(tmp_path)) == []


async def test_a_shell_lost_to_the_time_limit_is_told_in_the_output(runtime: Runtime) -> None:
    done = await perform(runtime, 0, RunCommand(command="trap '' INT; while :; do :; done", timeout=0.1))
    assert (done.ended, done.exit_code) == ("timeout", None)
    assert "its variables" in done.output


async def test_an_interrupt_at_any_moment_does_no_harm(runtime: Runtime) -> None:
    """In the worst case bash is just reading the order that reports the end."""
    await run(runtime, 0, "colour=blue")
    ends = set()
    for number in range(1, 100):
        running = asyncio.create_task(run(runtime, number, "true; true"))
        for _ in range(number % 12):
            await asyncio.sleep(0.0002)
        await runtime.interrupt(key(number))
        ends.add((await running).ended)
    assert ends <= {"exit", "interrupted"}
    assert (await run(runtime, 1000, "echo $colour")).output == "blue\n"


async def test_ctrl_c_at_any_moment_does_no_harm(runtime: Runtime) -> None:
    await run(runtime, 0, "colour=blue")
    for number in range(1, 70):
        running = asyncio.create_task(run(runtime, number, "echo; true"))
        for _ in range(number % 10):
            await asyncio.sleep(0.0002)
        await runtime.send_input("\x03")
        assert (await running).ended == "exit"
    assert (await run(runtime, 1000, "echo $colour")).output == "blue\n"
