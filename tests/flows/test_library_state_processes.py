"""State that many processes write: none waits for a turn, none fences it, and a kill loses nothing."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.library_programs import LibraryPrograms, killed, line_of

LONG = 200
pytestmark = [pytest.mark.timeout(LONG), pytest.mark.slow]

WRITERS, WRITES = 8, 500
STORY = "A very long story. " * 20_000
WELL = "  - {when: well, steps: [{say: Well.}]}\n"
SLOW = f"replies:\n{WELL}  - steps: [{{say: {STORY}, delay: 0.05, piece: 40}}]\n"
TURN = """
talking = session()
items = talking.stream("Tell")
next(item for item in items if item.kind == "reply")
say("begun")
sys.stdin.readline()
items.close()
say(talking.get_state("n"))
say(talking.chat("Are you well?"))
"""
ADDING = f"""
adding = session()
async def add():
    for _ in range({WRITES} // 50):
        await asyncio.gather(*(adding.aincr("n") for _ in range(25)), *(adding.aappend("list", 1) for _ in range(25)))
asyncio.run(add())
say("done")
"""
ENDLESS = """
counting = session()
n = 0
while True:
    n = counting.incr("n")
    say(n)
"""


@pytest.fixture
async def programs(tmp_path: Path) -> AsyncIterator[LibraryPrograms]:
    async with asyncio.timeout(LONG):
        yield LibraryPrograms(folder=tmp_path)


async def test_eight_processes_write_while_a_ninth_runs_a_turn_and_none_is_in_the_others_way(
    programs: LibraryPrograms,
) -> None:
    programs.script(SLOW)
    talking = await programs.start(TURN)
    try:
        assert await line_of(talking) == "begun"
        assert await asyncio.gather(*(programs.run(ADDING) for _ in range(WRITERS))) == ["done\n"] * WRITERS
        out, err = (told.decode() for told in await talking.communicate(b"\n"))
        assert (out, talking.returncode) == (f"{WRITERS * WRITES // 2}\nWell.\n", 0), err
    finally:
        await killed(talking)
    told = await programs.run("import json\nsay(json.dumps([len(session().get_state('list')), session().events()]))")
    items, events = json.loads(told)
    assert items == WRITERS * WRITES // 2
    ends = [event["extras"]["stop_reason"] for event in events if event.get("observation") == "turn_ended"]
    assert ends == ["stopped", "waiting"]


async def test_a_process_that_is_killed_between_writes_loses_none_that_it_was_told_of(
    programs: LibraryPrograms,
) -> None:
    told = 0
    for _ in range(3):
        counting = await programs.start(ENDLESS)
        try:
            for _ in range(20):
                told = int(await line_of(counting))
        finally:
            await killed(counting)
        # What it was told of later stands in the pipe.
        assert counting.stdout is not None
        told = int(((await counting.stdout.read()).decode().rsplit("\n", 1)[0].split() or [str(told)])[-1])
        found = int(await programs.run("say(session().get_state('n'))"))
        assert told <= found <= told + 1
    assert told >= 60


async def test_a_process_is_told_of_what_another_one_writes(programs: LibraryPrograms) -> None:
    watching = await programs.start("for values in session().watch_state('n'):\n    say(values.get('n'))\n")
    try:
        assert await line_of(watching) == "None"
        await programs.run("session().set_state('n', 1)")
        assert await line_of(watching) == "1"
        await programs.run("session().incr('n')")
        assert await line_of(watching) == "2"
    finally:
        await killed(watching)
