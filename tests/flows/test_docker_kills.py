"""Server, executor, container and Docker daemon are killed while commands run: none runs twice, what became of each is
told, and the conversation goes on."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from openhands_sessions.adapters.runtimes.local.paths import SandboxPaths
from openhands_sessions.core.ids import ConversationId, folder_name
from tests.support.crash_runs import SCRIPT, CrashedConversation, Killer, planned_kills
from tests.support.docker_engine import Engine
from tests.support.docker_mortal import MortalEngine, mortal_engine
from tests.support.event_summaries import shown
from tests.support.running_server import Server, prepared_server
from tests.support.seeds import printed_seed
from tests.support.server_clients import Clients
from tests.support.system_packages import Missing, unavailable

TALKS = 2
PARTS, KILLS = 10, 10
"""100 kills in all."""
A_FEW = 4


@pytest.fixture(scope="module")
def engine(docker_engine: Engine) -> Iterator[MortalEngine]:
    with ExitStack() as stack:
        try:
            mortal = stack.enter_context(mortal_engine(docker_engine))
        except Missing as problem:
            unavailable(problem)
        yield mortal


@pytest.fixture
def mortal(engine: MortalEngine) -> Iterator[MortalEngine]:
    yield engine
    engine.clear()


@pytest.fixture
def rng() -> Random:
    return Random(printed_seed())


def settings(mortal: MortalEngine, rng: Random) -> dict[str, str]:
    """A server whose sandboxes are put to rest and wait ahead in every way."""
    return {
        "OHS_LIMITS__MESSAGES_PER_SECOND": "1000",
        "OHS_LIMITS__MESSAGES_BURST": "1000",
        "OHS_RUNTIME__KIND": "docker",
        "OHS_DOCKER__ADDRESS": mortal.daemon.address,
        "OHS_DOCKER__IMAGE": mortal.image,
        "OHS_DOCKER__NETWORK": "none",
        "OHS_DOCKER__WARM": rng.choice("01"),
        "OHS_DOCKER__PAUSE_AFTER": rng.choice(["0.05", "600"]),
        "OHS_DOCKER__REMOVE_AFTER": rng.choice(["0.05", "600"]),
    }


async def endured(data_dir: Path, mortal: MortalEngine, rng: Random, kills: int) -> None:
    """Have a few conversations go on while so many are killed, and judge them."""
    chosen = settings(mortal, rng)
    plan = planned_kills(rng, kills, TALKS)
    print(f"{ {name: chosen[name] for name in list(chosen)[-3:]} } {plan}")
    calm, over = asyncio.Event(), asyncio.Event()
    async with prepared_server(data_dir, chosen) as server, Clients(server.url) as clients:
        await server.start()
        calm.set()
        talks = [await begun(server, clients, calm) for _ in range(TALKS)]
        killer = Killer(server, mortal, talks, calm)
        try:
            async with asyncio.TaskGroup() as group:
                for talk in talks:
                    group.create_task(talk.go_on(over))
                for kill in plan:
                    await killer.kill(kill)
                over.set()
            endings: Counter[str] = Counter()
            for talk in talks:
                endings += talk.check(await clients.rest.events(talk.sid))
        except BaseException as error:
            error.add_note(server.log[-4000:])
            error.add_note("\n".join(f"{talk.sid}: {shown(talk.client.events[-8:])}" for talk in talks))
            raise
    print(dict(endings))
    assert endings.total() - endings["done"] <= kills * TALKS, "more came to nothing than can have been killed"


async def begun(server: Server, clients: Clients, calm: asyncio.Event) -> CrashedConversation:
    sid = await clients.rest.create(llm_model=server.script("ordeal", SCRIPT))
    folder = server.data_dir / "runtimes" / "docker" / folder_name(ConversationId(sid))
    return CrashedConversation(clients, sid, SandboxPaths(folder), calm)


async def test_kills_in_mid_command_run_nothing_twice_and_hide_nothing(
    data_dir: Path, mortal: MortalEngine, rng: Random
) -> None:
    await endured(data_dir, mortal, rng, A_FEW)


async def test_a_server_that_is_back_before_its_engine_goes_on_by_itself(
    data_dir: Path, mortal: MortalEngine, rng: Random
) -> None:
    calm = asyncio.Event()
    calm.set()
    async with prepared_server(data_dir, settings(mortal, rng)) as server, Clients(server.url) as clients:
        await server.start()
        talk = await begun(server, clients, calm)
        await talk.client.connect()
        await talk.client.say("work", key="first")
        await talk.client.until(lambda: talk.at_work)
        await server.killed()
        await asyncio.to_thread(mortal.daemon.kill)
        await server.start()
        operator = clients.operator()
        await operator.connect()
        await operator.until(lambda: "Error" in operator.states_of(talk.sid))
        await asyncio.to_thread(mortal.daemon.revive)
        await operator.until(lambda: operator.changes[-1]["agent_state"] == "awaiting_user_input")
        for text, key in (("work", "first"), ("check", "last")):
            await talk.turn(text, key)
        talk.check(await clients.rest.events(talk.sid))


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", range(PARTS))
async def test_a_hundred_kills_in_mid_command_run_nothing_twice_and_hide_nothing(
    data_dir: Path, mortal: MortalEngine, rng: Random, part: int
) -> None:
    await endured(data_dir, mortal, rng, KILLS)
