"""Servers that are killed around a reservation in an auto-approval budget: its rest is neither spent twice nor blocked
for good."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from openhands_sessions.core.events.codec import from_wire
from tests.support.crash_scenario import DEAD
from tests.support.log_invariant import check_log
from tests.support.model_replies import Call, Reply
from tests.support.model_server import MODEL, model_server
from tests.support.running_server import FAILING, Server, running_server
from tests.support.server_clients import Clients
from tests.support.socket_clients import Protocol2Client

WAITING, ASKING = "awaiting_user_input", "awaiting_user_confirmation"
BEGUN, AT_WORK, OVER = (f"echo {word}; echo $OHS_ACTION_ID >> ran; sleep 0.1" for word in ("one", "two", "three"))
PRICES = [
    {"tool": "execute_bash", "pattern": "echo one*", "dollars": 1},
    {"tool": "execute_bash", "pattern": "echo two*", "dollars": 2},
]
BUDGET = 5
SAMPLE = {"append:4:after", "perform:0:amid", ("append:0:after", True)}
APPENDS = [f"append:{number}:{side}" for number in range(2, 9) for side in ("before", "after")]
"""From the model's first reply over the reservation with the first action, and the results, to its last reply."""
PERFORMED = [f"perform:{number}:{side}" for number in range(2) for side in ("before", "amid", "after")]


def kills(moments: Sequence[object]) -> Sequence[object]:
    """Most of them are for the long tests."""
    return [
        pytest.param(moment, marks=pytest.mark.slow if moment in SAMPLE else pytest.mark.long) for moment in moments
    ]


def runs(*commands: str) -> Reply:
    return Reply(calls=[Call(name="execute_bash", arguments={"command": command}) for command in commands])


SCRIPTS = {
    "both": [runs(BEGUN, AT_WORK), Reply(text="Both are done.")],
    "ask": [runs(OVER, AT_WORK), Reply(text="It was asked.")],
    "rest": [runs(AT_WORK), Reply(text="The rest is spent.")],
}


@asynccontextmanager
async def mortal_server(data_dir: Path) -> AsyncIterator[tuple[Server, str]]:
    """A server that is to be killed, stopped for now, and its conversation with a budget."""
    quotas = {"OHS_QUOTAS": json.dumps([{"models": "*", "tokens": 10**9}])}
    async with model_server(SCRIPTS) as model, running_server(data_dir, quotas, program=FAILING) as server:
        chosen = {"llm_model": f"openai/{MODEL}", "llm_base_url": model.url, "llm_api_key": "sk-loopback"}
        async with Clients(server.url) as clients:
            own: dict[str, Any] = {"confirmation_mode": True, "auto_approval_budget": BUDGET, "call_prices": PRICES}
            sid = await clients.rest.create(**chosen, **own)
            await clients.until_ready(sid)
        await server.stopped()
        yield server, sid


async def told(client: Protocol2Client, text: str) -> None:
    """Say something, once however often it is said, and see its turn end or ask."""
    if not client.connected:
        await client.connect()
    said = await client.say(f"[[{text}]]", key=text)
    await client.until_event(lambda event: event.get("observation") == "turn_ended", after=said)


async def amounts(clients: Clients, sid: str) -> tuple[float, float, float]:
    """Spent, reserved and left."""
    budget = (await clients.rest.describe(sid))["session"]["budget"]
    return budget["spent"], budget["reserved"], budget["rest"]


async def check_all(server: Server, clients: Clients, sid: str, commands: int) -> None:
    """So many commands have run, each once; the log is as every log must be, and each model call is charged once."""
    ran = (server.workspace(sid) / "ran").read_text().split()
    assert (len(ran), len({*ran})) == (commands, commands)
    log: list[dict[str, Any]] = await clients.rest.events(sid)
    check_log([from_wire(event) for event in log])
    calls = [event["extras"] for event in log if event.get("observation") == "model_called"]
    used = sum(call["prompt_tokens"] + call["completion_tokens"] for call in calls)
    _, usage = await clients.rest.ask("GET", "/api/usage")
    assert sum(entry["prompt_tokens"] + entry["completion_tokens"] for entry in usage["entries"]) == used > 0
    assert usage["quotas"][0]["taken"]["tokens"] == used, "nothing stays reserved"


@pytest.mark.parametrize("kill", kills([*APPENDS, *PERFORMED]))
async def test_a_server_that_is_killed_between_a_reservation_and_its_results_spends_each_price_once(
    data_dir: Path, kill: str
) -> None:
    async with mortal_server(data_dir) as (server, sid):
        await server.start("--kill", kill)
        async with Clients(server.url) as clients:
            with suppress(*DEAD):
                await told(clients.protocol2(sid), "both")
        assert await server.ended() == -9
        await server.start()
        async with Clients(server.url) as clients:
            client = clients.protocol2(sid)
            await told(client, "both")
            assert await amounts(clients, sid) == (3, 0, 2)
            await told(client, "rest")
            assert await amounts(clients, sid) == (5, 0, 0)
            await check_all(server, clients, sid, 3)


AT_A_YES = [(f"append:{number}:{side}", True) for number in range(4) for side in ("before", "after")]
AT_A_NO = [(f"append:0:{side}", False) for side in ("before", "after")]


@pytest.mark.parametrize("answer", kills([*AT_A_YES, *AT_A_NO]))
async def test_a_server_that_is_killed_at_an_answer_keeps_what_waits_behind_it_reserved_or_frees_it(
    data_dir: Path, answer: tuple[str, bool]
) -> None:
    kill, yes = answer
    async with mortal_server(data_dir) as (server, sid):
        await server.start()
        async with Clients(server.url) as clients:
            await told(clients.protocol2(sid), "ask")
            assert await amounts(clients, sid) == (0, 2, 3)
        await server.killed()
        await server.start("--kill", kill)
        async with Clients(server.url) as clients:
            with suppress(*DEAD):
                await answered(clients.protocol2(sid), yes=yes)
        assert await server.ended() == -9
        await server.start()
        async with Clients(server.url) as clients:
            client = clients.protocol2(sid)
            await answered(client, yes=yes)
            assert await amounts(clients, sid) == ((2, 0, 3) if yes else (0, 0, 5))
            await told(client, "rest")
            await check_all(server, clients, sid, 3 if yes else 1)


async def answered(client: Protocol2Client, *, yes: bool) -> None:
    """Answer the question, once however often that is tried."""
    await client.connect()
    said = await client.order("user_confirmed" if yes else "user_rejected", key="answer")
    await client.until_state(WAITING, after=said)
