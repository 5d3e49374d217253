"""Rows of single messages, replays and idle conversations, and of the log alone."""

import asyncio
import tempfile
import time
from pathlib import Path

from openhands_sessions.adapters.stores.sqlite import open_sqlite
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.session.log_folding import folded
from tests.bench import measures
from tests.bench.bench import Bench
from tests.bench.filling import fill
from tests.bench.table import Row
from tests.support.long_logs import long_log, write_logs

LONG = 10_000
SHORT = 1_000
ROUNDS = 5
IDLE = 300
FOLDED = 60_000
SLOWER = 3
"""How many times as long as plain python-socketio's an echo may take that is stored first."""
USUAL = 1.0
"""The goal of an echo in ms, where there is nothing beside it."""


async def echoes(bench: Bench) -> list[Row]:
    bare, bare_raw, bare_fan = None, None, None
    async with bench.server() as ours:
        auth = measures.protocol_2(await measures.held(bench.http, ours.port))
        for count in (200, 1_000):  # the first warms up
            if bench.floor is not None:
                bare = _ms(await measures.client_echo(bench.floor.port, {}, count, "echo", "echo"))
                bare_raw = _ms(await measures.bare_echo(bench.http, bench.floor.port, count))
            echo = _ms(await measures.client_echo(ours.port, auth, count, "oh_user_action", "oh_event"))
            raw_echo = _ms(await measures.durable_echo(bench.http, ours.port, count))
        if bench.floor is not None:
            bare_fan = _ms(await measures.bare_fan_out(bench.http, bench.floor.port, 100, 50))
        fan = _ms(await measures.fan_out(bench.http, ours.port, 100, 50))
    return [
        Row("message to its durable echo, p50", echo, "ms", SLOWER * bare if bare else USUAL, bare),
        Row("the same between raw frames, p50", raw_echo, "ms", SLOWER * bare_raw if bare_raw else USUAL, bare_raw),
        Row("one event to 100 clients, p50", fan, "ms", 4.0, bare_fan),
    ]


async def replays(bench: Bench) -> list[Row]:
    stock = None
    if bench.floor is not None:
        stock = _ms([await measures.bare_flood(bench.http, bench.floor.port, LONG) for _ in range(ROUNDS)])
    rows = []
    async with bench.data_dir() as folder:
        await fill(bench, folder, {"long": LONG, "short": SHORT})
        async with bench.server(folder) as ours:
            others = await measures.others_during_replay(bench.http, ours.port, "long", LONG)
            rows.append(
                Row("another conversation during a replay, p99", measures.percentile(others, 0.99) * 1e3, "ms", 5.0)
            )
            for protocol, name, goal, goal_of_50 in ((1, "V0", 250.0, 1_000.0), (2, "protocol 2", 80.0, 400.0)):
                times = [await measures.replay(bench.http, ours.port, "long", LONG, protocol) for _ in range(ROUNDS)]
                rows.append(Row(f"replay of 10,000 events, {name}", _ms(times), "ms", goal, stock))
                times = [
                    await measures.reconnects(bench.http, ours.port, "short", SHORT, 50, protocol)
                    for _ in range(ROUNDS)
                ]
                rows.append(Row(f"50 clients to 1,000 events each, {name}", _ms(times), "ms", goal_of_50))
    return rows


async def idle(bench: Bench) -> list[Row]:
    async with bench.server() as ours:
        await asyncio.gather(*(measures.created(bench.http, ours.port) for _ in range(20)))  # fills the pools
        before, threads = ours.memory(), ours.threads()
        for _ in range(IDLE):
            await measures.created(bench.http, ours.port)
        await asyncio.sleep(0.5)
        each = (ours.memory() - before) * 1024 / IDLE
        return [
            Row("memory of a live, idle conversation", each, "KB", 100),
            Row("threads of 300 conversations more", ours.threads() - threads, "", 0),
        ]


async def appends(bench: Bench) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="ohs-bench-") as name:
        rate = await measures.appends(Path(name), 100, 200)
    return [Row("durable appends, 100 conversations", rate, "/s", 20_000, most=False)]


async def folds(bench: Bench) -> list[Row]:
    """A log of agents' turns without a snapshot, read from the database and folded, with its snapshots on the way."""
    with tempfile.TemporaryDirectory(prefix="ohs-bench-") as name:
        path, sid = Path(name) / "sessions.db", ConversationId("long")
        entries = long_log(FOLDED)
        await write_logs(path, [sid], entries)
        costs = []
        for _ in range(ROUNDS):
            async with open_sqlite(path) as store:
                begun = time.process_time()
                await folded(store.log(sid), None)
                costs.append((time.process_time() - begun) / len(entries) * 1e6)
    return [Row("fold of 60,000 events, CPU of one", measures.median(costs), "µs", 15)]


def _ms(seconds: list[float]) -> float:
    return measures.median(seconds) * 1e3
