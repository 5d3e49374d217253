"""Programs beside the shell leave no process running."""

import asyncio

import pytest

from openhands_sessions.ports.programs import ProgramSpec
from openhands_sessions.ports.runtime import Query, Runtime
from tests.support.processes import alive, ended
from tests.support.sandboxes import run


async def test_what_a_query_started_ends_with_it(runtime: Runtime) -> None:
    script = "sleep 60 & echo $!; exit 3"
    answer = await runtime.query(Query(words=("bash", "-c", script), timeout=0.3))
    await ended(int(answer.output))
    detached = "setsid sleep 60 >/dev/null & echo $!; sleep 60"
    answer = await runtime.query(Query(words=("bash", "-c", detached), timeout=0.3))
    assert answer.exit_code is None
    await ended(int(answer.output))


async def test_a_query_whose_caller_is_cancelled_is_ended(runtime: Runtime) -> None:
    asked = asyncio.create_task(runtime.query(Query(words=("bash", "-c", "echo $$ >pid; exec sleep 60"))))
    async with asyncio.timeout(10):
        while not (pid := await runtime.files.read("pid") if await runtime.files.list() else b""):  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # nothing tells us but the folder itself
    assert alive(int(pid))
    asked.cancel()
    await asyncio.wait([asked])
    await ended(int(pid))
    assert (await run(runtime, 0, "echo well")).output == "well\n"


@pytest.mark.slow
async def test_many_queries_at_once_are_all_answered(runtime: Runtime) -> None:
    answers = await asyncio.gather(*(runtime.query(Query(words=("echo", str(number)))) for number in range(30)))
    assert [int(answer.output) for answer in answers] == list(range(30))


async def test_a_program_ends_with_who_speaks_to_it_and_takes_what_it_started_along(runtime: Runtime) -> None:
    script = "sleep 60 & echo $!; echo $TOLD; exec cat"
    spoken = ProgramSpec(words=("bash", "-c", script), environment={"TOLD": "secret"})
    async with runtime.programs.open(spoken) as program:
        lines = program.lines()
        child = int(await anext(lines))
        assert await anext(lines) == "secret"
        await lines.aclose()
        assert alive(child)
    await ended(child)


async def test_a_line_without_end_ends_its_program(runtime: Runtime) -> None:
    async with runtime.programs.open(ProgramSpec(words=("cat", "/dev/zero"))) as program, asyncio.timeout(20):
        assert [line async for line in program.lines()] == []
