"""What every kind of Runtime keeps: commands that run on after their action returned, and input for them."""

import asyncio
from itertools import count

import pytest

from openhands_sessions.ports.runtime import CommandDone, GiveInput, RunCommand, Running, Runtime, Runtimes
from tests.support.sandboxes import Hearing, key, opened, perform, run

ASKS = "echo begun; read go; echo $go; read more; echo $more"
SHORT = 0.1
WAITS = 1000
"""Added to an action's number for each further one that only waits."""


async def left(runtime: Runtime, number: int = 0, command: str = ASKS) -> None:
    """Start a command that prints `begun`, and return while it runs on."""
    assert await until_output(runtime, number, RunCommand(command=command, patience=SHORT)) == "begun\n"


async def until_output(runtime: Runtime, number: int, action: RunCommand | GiveInput) -> str:
    """Perform an action that returns while its command runs on, and wait for what the command prints next."""
    for attempt in count():
        done = await perform(runtime, number + WAITS * attempt, action)
        assert isinstance(done, CommandDone)
        assert (done.exit_code, done.ended) == (None, "waiting")
        if done.output:
            return done.output
        action = GiveInput(text="", patience=SHORT)
    raise AssertionError


async def test_a_silent_command_is_let_go_of_and_runs_on(runtime: Runtime) -> None:
    await left(runtime)
    waiting = await runtime.inquire(key(0))
    assert waiting == await perform(runtime, 0, RunCommand(command="echo never"))
    assert await until_output(runtime, 1, GiveInput(text="on\n", patience=SHORT)) == "on\n"
    hearing = Hearing()
    done = await perform(runtime, 2, GiveInput(text="end\n"), hearing)
    assert (done.output, done.exit_code, done.ended) == ("end\n", 0, "exit")
    assert hearing.text == "end\n"
    assert (await run(runtime, 3, "echo next")).output == "next\n"


async def test_a_command_that_ends_in_time_is_not_let_go_of(runtime: Runtime) -> None:
    done = await perform(runtime, 0, RunCommand(command="echo begun; false", patience=60))
    assert (done.output, done.exit_code, done.ended) == ("begun\n", 1, "exit")


async def test_while_one_runs_the_next_command_does_not(runtime: Runtime) -> None:
    await left(runtime)
    done = await run(runtime, 1, "echo x >> runs")
    assert (done.output, done.exit_code, done.ended) == ("", None, "busy")
    assert await runtime.inquire(key(1)) == done
    await perform(runtime, 2, GiveInput(text="on\nend\n"))
    assert await run(runtime, 1, "echo x >> runs") == done
    assert await runtime.files.list() == []


async def test_input_without_a_command_is_busy(runtime: Runtime) -> None:
    done = await perform(runtime, 0, GiveInput(text="on\n"))
    assert (done.output, done.exit_code, done.ended) == ("", None, "busy")
    await run(runtime, 1, "true")
    assert (await perform(runtime, 2, GiveInput(text="on\n"))).ended == "busy"
    await left(runtime, 3)
    assert await perform(runtime, 0, GiveInput(text="on\n")) == done


async def test_an_empty_input_only_waits(runtime: Runtime) -> None:
    await left(runtime, command="echo begun; sleep 0.3; echo ended; false")
    assert (await perform(runtime, 1, GiveInput(text="", patience=0.01))).ended == "waiting"
    done = await perform(runtime, 2, GiveInput(text=""))
    assert (done.output, done.exit_code, done.ended) == ("ended\n", 1, "exit")


async def test_input_is_not_given_twice(runtime: Runtime) -> None:
    await left(runtime)
    given = await perform(runtime, 1, GiveInput(text="on\n", patience=SHORT))
    assert await perform(runtime, 1, GiveInput(text="on\n", patience=SHORT)) == given == await runtime.inquire(key(1))
    assert (await perform(runtime, 2, GiveInput(text="end\n"))).output == "end\n"


async def test_the_end_of_a_command_that_was_let_go_of_is_told_once(runtime: Runtime) -> None:
    await left(runtime, command="echo begun; read go; exit 3")
    assert await runtime.send_input("on\n")
    done = await perform(runtime, 1, GiveInput(text=""))
    assert (done.exit_code, done.ended) == (3, "shell_exit")
    assert (await perform(runtime, 2, GiveInput(text=""))).ended == "busy"


@pytest.mark.parametrize("number", [0, 1], ids=["of the command", "of an input"])
async def test_the_key_of_a_command_that_was_let_go_of_ends_it(runtime: Runtime, number: int) -> None:
    await left(runtime, command="echo begun; sleep 100; echo never")
    assert (await perform(runtime, 1, GiveInput(text="", patience=0.01))).ended == "waiting"
    async with asyncio.timeout(20):
        await runtime.interrupt(key(number))
        done = await perform(runtime, 2, GiveInput(text=""))
    assert (done.output, done.exit_code, done.ended) == ("", None, "interrupted")
    assert (await run(runtime, 3, "echo next")).output == "next\n"


async def test_the_next_command_runs_once_the_last_was_interrupted(runtime: Runtime) -> None:
    await left(runtime, command="echo begun; sleep 100; echo never")
    await runtime.interrupt(key(0))
    assert (await run(runtime, 1, "echo next")).output == "next\n"
    assert (await perform(runtime, 2, GiveInput(text=""))).ended == "busy"


async def test_interrupting_a_wait_ends_the_command(runtime: Runtime) -> None:
    await left(runtime)
    waiting = asyncio.create_task(perform(runtime, 1, GiveInput(text="")))
    await asyncio.sleep(0)  # lets it ask
    assert await runtime.inquire(key(1)) == Running()
    await runtime.interrupt(key(1))
    assert (await waiting).ended == "interrupted"
    assert (await perform(runtime, 2, GiveInput(text=""))).ended == "busy"


async def test_ctrl_c_reaches_a_command_that_was_let_go_of(runtime: Runtime) -> None:
    await left(runtime, command="echo begun; sleep 100; echo never")
    done = await perform(runtime, 1, GiveInput(text="\x03"))
    assert done.ended in ("exit", "interrupted")
    assert "never" not in done.output
    assert (await run(runtime, 2, "echo next")).output == "next\n"


async def test_the_time_limit_holds_for_one_that_was_let_go_of(runtime: Runtime) -> None:
    done = await perform(runtime, 0, RunCommand(command="echo begun; sleep 100", timeout=0.3, patience=SHORT))
    assert done.ended == "waiting"
    assert (await perform(runtime, 1, GiveInput(text=""))).ended == "timeout"


async def test_the_next_owner_gives_input_too(runtimes: Runtimes) -> None:
    async with opened(runtimes) as runtime:
        await left(runtime)
    async with opened(runtimes, term=2) as runtime:
        assert (await perform(runtime, 1, GiveInput(text="on\nend\n"))).output == "on\nend\n"
