"""What every kind of Runtime keeps: programs that are spoken to line by line."""

import asyncio
from contextlib import aclosing

import pytest

from openhands_sessions.core.errors import NotAsked, TooLarge
from openhands_sessions.ports.programs import LONGEST_LINE, ProgramSpec
from openhands_sessions.ports.runtime import Runtime
from tests.support.sandboxes import run


async def test_lines_go_to_and_fro_beside_the_shell(runtime: Runtime) -> None:
    async with runtime.programs.open(ProgramSpec(words=("cat",))) as cat, aclosing(cat.lines()) as lines:
        for text in ("one", "", "zwö", "x" * 100_000):
            await cat.write(text)
            assert await anext(lines) == text
        assert (await run(runtime, 0, "echo hi")).output == "hi\n"
        await cat.write("still there")
        assert await anext(lines) == "still there"


async def test_several_are_spoken_to_at_once(runtime: Runtime) -> None:
    spoken = ProgramSpec(words=("cat",))
    async with runtime.programs.open(spoken) as first, runtime.programs.open(spoken) as second:
        await first.write("first")
        await second.write("second")
        assert [await anext(first.lines()), await anext(second.lines())] == ["first", "second"]


async def test_one_that_is_not_there_has_ended_at_once(runtime: Runtime) -> None:
    async with runtime.programs.open(ProgramSpec(words=("no-such-program",))) as nothing:
        async with asyncio.timeout(10):
            assert [line async for line in nothing.lines()] == []
        with pytest.raises(NotAsked):
            await nothing.write("x")


async def test_a_line_is_given_whole_or_not_at_all(runtime: Runtime) -> None:
    async with runtime.programs.open(ProgramSpec(words=("cat",))) as cat, aclosing(cat.lines()) as lines:
        long = "ä😀" * 500_000
        await asyncio.gather(cat.write(long), cat.write("short"))
        assert {await anext(lines), await anext(lines)} == {long, "short"}
        with pytest.raises(TooLarge):
            await cat.write("x" * (LONGEST_LINE + 1))
        await cat.write("still there")
        assert await anext(lines) == "still there"
