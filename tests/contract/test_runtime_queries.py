"""What every kind of Runtime keeps: programs that only look, beside the shell."""

import asyncio

from openhands_sessions.ports.runtime import Query, Runtime
from tests.support.sandboxes import Hearing, key, run


async def test_a_query_tells_what_was_printed_and_how_it_ended(runtime: Runtime) -> None:
    answer = await runtime.query(Query(words=("echo", "hi")))
    assert (answer.output, answer.exit_code) == (b"hi\n", 0)
    assert (await runtime.query(Query(words=("false",)))).exit_code == 1


async def test_a_query_knows_nothing_of_the_shell_and_leaves_it_as_it_is(runtime: Runtime) -> None:
    await runtime.files.write("below/a", b"")
    await run(runtime, 0, "cd below; false")
    answer = await runtime.query(Query(words=("pwd",)))
    assert answer.output.strip().endswith((await runtime.query(Query(words=("pwd",)))).output.strip())
    assert b"below" not in answer.output
    assert (await run(runtime, 1, "pwd")).working_dir == "/workspace/below"


async def test_a_query_waits_for_no_command_and_is_not_ended_with_one(runtime: Runtime) -> None:
    hearing = Hearing()
    running = asyncio.create_task(run(runtime, 0, "echo begun; sleep 30", hearing))
    await hearing.hears("begun")
    looking = asyncio.create_task(runtime.query(Query(words=("sleep", "0.8"))))
    assert (await runtime.query(Query(words=("true",)))).exit_code == 0
    await runtime.interrupt(key(0))
    assert (await running).ended == "interrupted"
    assert (await looking).exit_code == 0


async def test_a_query_ends_at_its_limits(runtime: Runtime) -> None:
    assert (await runtime.query(Query(words=("sleep", "30"), timeout=0.2))).exit_code is None
    answer = await runtime.query(Query(words=("echo", "x" * 500), limit=100))
    assert (answer.output, answer.exit_code) == (b"x" * 100, None)


async def test_a_program_that_is_not_there_is_no_failure_of_the_sandbox(runtime: Runtime) -> None:
    answer = await runtime.query(Query(words=("no-such-program",)))
    assert answer.exit_code in (None, 127)
    assert (await runtime.query(Query(words=("true",)))).exit_code == 0
