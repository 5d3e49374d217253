"""Servers that are killed: nothing acknowledged is lost, nothing runs twice, and the turn goes on by itself."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from tests.support.crash_scenario import CrashScenario, PlannedDeaths, spread_points
from tests.support.event_summaries import command_of
from tests.support.running_server import FAILING, prepared_server, running_server
from tests.support.seeds import printed_seed
from tests.support.server_clients import Clients

SETTINGS = {"OHS_LIMITS__MESSAGES_PER_SECOND": "1000", "OHS_LIMITS__MESSAGES_BURST": "1000"}
AT_ONCE = 2
"""Stories that are told side by side."""
PARTS = 12
TURN = 2.0
"""About how many seconds the first turn takes."""
WHILE_RUNNING = "perform:1:amid"
"""In the middle of the command that takes a second."""
RECOVERY = 24
"""Boundaries of the second server that count as its recovery."""

Outlines = dict[str, list[str]]


@dataclass(frozen=True)
class Undisturbed:
    """The story without a death: every boundary on its way, and what happened."""

    boundaries: list[str]
    outlines: Outlines


async def told(data_dir: Path, deaths: PlannedDeaths) -> Outlines:
    """Tell the whole story and judge it."""
    async with prepared_server(data_dir, SETTINGS, program=FAILING) as server, Clients(server.url) as clients:
        story = CrashScenario(server, clients, deaths)
        await story.tell()
        return await story.check()


async def tallied(data_dir: Path, *kills: str) -> Undisturbed:
    """Tell it with these deaths; the boundaries are those of the last server."""
    tally = data_dir.with_suffix(".tally")
    outlines = await told(data_dir, PlannedDeaths(kills, tally=tally))
    return Undisturbed(tally.read_text().split(), outlines)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return asyncio.run(tallied(tmp_path_factory.mktemp("undisturbed") / "data"))


@pytest.fixture
def rng() -> Random:
    return Random(printed_seed())


async def all_end_well(folder: Path, cases: Sequence[PlannedDeaths], expected: Outlines) -> None:
    """Tell the story once for each case, AT_ONCE side by side."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, deaths: PlannedDeaths) -> None:
        async with room:
            try:
                outlines = await told(folder / f"story{number}" / "data", deaths)
                assert outlines == expected
            except Exception as error:
                error.add_note(f"killed at {deaths}")
                raise

    async with asyncio.TaskGroup() as group:
        for number, deaths in enumerate(cases):
            group.create_task(one(number, deaths))
    unharmed = [deaths for deaths in cases if deaths.happened == 0]
    print(f"{sum(deaths.happened for deaths in cases)} deaths in {len(cases)} stories; none in {unharmed}")
    # How appends fall together varies, and with it whether the last of their boundaries is ever reached.
    assert len(unharmed) <= max(1, len(cases) // 10)


async def test_a_killed_server_loses_nothing_and_the_next_one_goes_on(
    tmp_path: Path, undisturbed: Undisturbed, rng: Random
) -> None:
    points = spread_points(undisturbed.boundaries, 3, rng)
    cases = [PlannedDeaths([point]) for point in (*points, WHILE_RUNNING)]
    cases += [PlannedDeaths([WHILE_RUNNING, "inquire:0:after"]), PlannedDeaths(moment=rng.uniform(0, TURN))]
    await all_end_well(tmp_path, cases, undisturbed.outlines)


async def test_messages_that_wait_for_the_shell_agent_are_run_once_by_the_next_server(data_dir: Path) -> None:
    async with running_server(data_dir, SETTINGS) as server, Clients(server.url) as clients:
        client = clients.protocol2("row")
        await client.connect(create=True)
        for number in range(5):
            newest = await client.say(f"$ echo {number} >> ran; sleep 0.2")
        await client.until_event(lambda event: command_of(event).startswith("echo 1 "))
        await server.killed()
        await server.start()
        again = clients.protocol2("row")
        await again.connect()
        await again.until_state("awaiting_user_input", after=newest)
        assert (server.workspace("row") / "ran").read_text().split() == list("01234")


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", range(PARTS))
async def test_a_server_may_be_killed_at_every_boundary(tmp_path: Path, undisturbed: Undisturbed, part: int) -> None:
    cases = [PlannedDeaths([point]) for point in undisturbed.boundaries[part::PARTS]]
    await all_end_well(tmp_path, cases, undisturbed.outlines)


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_a_recovering_server_may_be_killed_at_every_boundary(tmp_path: Path, undisturbed: Undisturbed) -> None:
    recovery = await tallied(tmp_path / "tallied", WHILE_RUNNING)
    cases = [PlannedDeaths([WHILE_RUNNING, point]) for point in recovery.boundaries[:RECOVERY]]
    await all_end_well(tmp_path, cases, undisturbed.outlines)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", range(3))
async def test_a_server_may_be_killed_at_any_moment_of_a_turn(
    tmp_path: Path, undisturbed: Undisturbed, rng: Random, part: int
) -> None:
    cases = [PlannedDeaths(moment=rng.uniform(0, TURN)) for _ in range(10)]
    await all_end_well(tmp_path, cases, undisturbed.outlines)
