"""Programs beside the shell leave no process running."""

import asyncio
from contextlib import aclosing

import pytest

from openhands_sessions.core.errors import NotAsked
from openhands_sessions.ports.programs import LONGEST_LINE, CutLine, ProgramSpec
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
        child = int(str(await anext(lines)))
        assert await anext(lines) == "secret"
        await lines.aclose()
        assert alive(child)
    await ended(child)


async def test_a_line_without_end_ends_its_program(runtime: Runtime) -> None:
    async with runtime.programs.open(ProgramSpec(words=("cat", "/dev/zero"))) as program, asyncio.timeout(20):
        assert [line async for line in program.lines()] == []


async def test_a_long_line_is_whole_and_of_one_that_is_too_long_both_ends_are_known(runtime: Runtime) -> None:
    script = (
        f"for size in {LONGEST_LINE}, {LONGEST_LINE} + 1, 3 * {LONGEST_LINE}:\n"
        "    print('<' + 'x' * (size - 4) + '\u00e9>')\n"
        "print('next', end='')"
    )
    spec = ProgramSpec(words=("python3", "-c", script), environment={"PYTHONIOENCODING": "utf-8"})
    async with runtime.programs.open(spec) as program, aclosing(program.lines()) as lines, asyncio.timeout(30):
        whole = await anext(lines)
        assert isinstance(whole, str)
        assert (len(whole), whole[:2], whole[-2:]) == (LONGEST_LINE - 1, "<x", "é>")
        for _ in range(2):
            cut = await anext(lines)
            assert isinstance(cut, CutLine)
            assert (cut.head[:2], cut.tail[-2:]) == ("<x", "é>")
            assert len(cut.head) + len(cut.tail) < 2000
        assert await anext(lines) == "next"


async def test_lines_that_a_program_never_read_are_known_when_it_has_ended(runtime: Runtime) -> None:
    script = "read -r line; echo $line; until [ -e stop ]; do sleep 0.02; done"
    async with runtime.programs.open(ProgramSpec(words=("bash", "-c", script))) as program:
        await program.write("one", "a")
        lines = program.lines()
        assert await anext(lines) == "one"
        await program.write("two", "b")
        await program.write("three", "c")
        flooding = asyncio.create_task(program.write("x" * (1 << 20), "d"))
        await runtime.files.write("stop", b"")
        async with asyncio.timeout(20):
            assert [line async for line in lines] == []
        assert program.unread >= {"b", "c"}
        assert "a" not in program.unread
        with pytest.raises(NotAsked):
            await flooding


PRINTS_UNTIL_NOBODY_READS = """
import os, select
lines = 0
while select.select([], [1], [], 0.5)[1]:
    lines += os.write(1, b"x" * 99 + b"\\n") // 100
with open("told", "w") as file:
    file.write(str(lines))
os.rename("told", "lines")
os.write(1, b"end\\n")
"""


async def test_a_program_waits_while_nobody_reads_its_lines(runtime: Runtime) -> None:
    spec = ProgramSpec(words=("python3", "-c", PRINTS_UNTIL_NOBODY_READS))
    async with runtime.programs.open(spec) as program, aclosing(program.lines()) as lines:
        printed = int((await run(runtime, 0, "until [ -e lines ]; do sleep 0.05; done; cat lines")).output)
        assert printed < 40_000
        assert [await anext(lines) for _ in range(printed + 1)] == ["x" * 99] * printed + ["end"]
