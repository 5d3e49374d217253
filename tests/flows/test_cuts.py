"""Connections that break, again and again: nothing is lost, nothing comes twice, nothing out of order."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support.cut_connections import ConnectionCutter, answer_questions, busy_scripts, keep_talking
from tests.support.event_summaries import Event, kind_of, state_of
from tests.support.model_server import MODEL, model_server
from tests.support.proxy import proxy
from tests.support.running_server import running_server
from tests.support.seeds import printed_seed
from tests.support.server_clients import Clients
from tests.support.socket_clients import Client
from tests.support.v0_event_filter import explains, known_to_v0, without_own_keys

TURNS, STEPS = 7, 5
SETTINGS = {"OHS_LIMITS__MESSAGES_PER_SECOND": "1000", "OHS_LIMITS__MESSAGES_BURST": "1000"}


async def test_what_clients_got_is_the_log_though_their_connections_broke(data_dir: Path) -> None:
    await cut_and_compare(data_dir, cuts=15, events=150)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("run", range(4))
async def test_what_clients_got_is_the_log_though_their_connections_broke_a_hundred_times(
    data_dir: Path, run: int
) -> None:
    await cut_and_compare(data_dir, cuts=100, events=500)


async def cut_and_compare(data_dir: Path, *, cuts: int, events: int) -> None:
    rng = Random(printed_seed())
    async with AsyncExitStack() as stack:
        model = await stack.enter_async_context(model_server(busy_scripts(TURNS, STEPS), kept=100))
        server = await stack.enter_async_context(running_server(data_dir, SETTINGS))
        clients = await stack.enter_async_context(Clients(server.url))
        sid = await clients.rest.create(confirmation_mode=True, condenser_max_size=10_000, **_loopback(model.url))
        watcher, boss = clients.protocol2(sid), clients.protocol2(sid)
        for each in (watcher, boss):
            await each.connect()
        await watcher.until_state("awaiting_user_input", within=30)
        cutters = []
        for make in (clients.protocol2, clients.v0):
            between = await stack.enter_async_context(proxy(server.port))
            cutters.append(ConnectionCutter(make(sid, between.url), between, watcher, Random(rng.random())))
        await _converse(watcher, boss, cutters, Random(rng.random()), cuts, events)
        for cutter in cutters:
            await cutter.finish()
        log = await clients.rest.events(sid)
        status = await clients.rest.describe(sid)

    assert model.complaints == []
    assert status["num_connections"] == 4
    check_delivery(log, watcher, cutters)
    assert len(log) >= events
    for cutter in cutters:
        print(f"{cutter.cuts} cuts, {cutter.in_replay} during replay, {len(log)} events")
        assert cutter.between.cuts >= cuts
        assert cutter.in_replay >= cuts * 3 // 10


async def _converse(
    watcher: Client, boss: Any, cutters: list[ConnectionCutter], rng: Random, cuts: int, events: int
) -> None:
    """Talk for as long as it takes to cut so often and to have so many events."""
    enough = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        answering = group.create_task(answer_questions(boss, rng))
        talking = group.create_task(keep_talking(boss, TURNS, enough))
        cutting = [group.create_task(cutter.cut(cuts)) for cutter in cutters]
        await watcher.until_id(events, within=200)
        await asyncio.wait(cutting)
        enough.set()
        await talking
        await watcher.until_id(boss.last)
        answering.cancel()


def check_delivery(log: list[Event], watcher: Client, cutters: list[ConnectionCutter]) -> None:
    """Everybody got what is due."""
    whole, web = (cutter.client for cutter in cutters)
    assert [event["id"] for event in log] == list(range(len(log)))
    assert {"action:run", "observation:run", "action:message"} <= {kind_of(event) for event in log}
    assert {"awaiting_user_confirmation", "user_confirmed"} <= {state_of(event) for event in log}
    assert watcher.faults == whole.faults == web.faults == []
    assert watcher.events == log
    assert whole.events == log
    assert web.events == [without_own_keys(log[event["id"]]) for event in web.events]
    assert [event["id"] for event in log if known_to_v0(event) and not state_of(event)] == [
        event["id"] for event in web.events if not state_of(event)
    ]
    heads = [*cutters[1].heads, len(log) - 1]
    for place, visit in enumerate(web.visits):
        # The head when the connection was accepted lies between what was known before it and after its end.
        likely = range(heads[place], min(heads[place + 1] + 30, len(log)))
        assert explains(log, visit.ids, after=visit.after, heads=likely), (place, visit)
    assert web.last == log[-1]["id"]


def _loopback(url: str) -> Mapping[str, str]:
    return {"llm_model": f"openai/{MODEL}", "llm_base_url": url, "llm_api_key": "sk-loopback"}
