"""`make bench`: our server beside a bare echo server, in one run. Prints a table and writes `bench.json`."""

import asyncio
import sys
import tempfile
from pathlib import Path

import aiohttp

from tests.bench import conversations, measures, sandboxes
from tests.bench.filling import fill
from tests.bench.servers import Running, floor_server, our_server
from tests.bench.table import Row, write

LONG = 10_000
SHORT = 1_000
ROUNDS = 5
HELD_SCRIPT = """\
name: held
replies:
  - steps:
      - say: "held"
        delay: 3600
"""


async def main() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="ohs-bench-") as name:
        folder = Path(name)
        (folder / "scripts").mkdir()
        (folder / "scripts" / "held.yaml").write_text(HELD_SCRIPT)
        await fill(folder / "sessions.db", {"long": LONG, "short": SHORT})
        settings = {"OHS_LLM__MODEL": "scripted:held", "OHS_LIMITS__MESSAGES_PER_SECOND": "100000"}
        settings["OHS_LIMITS__MESSAGES_BURST"] = "100000"
        connector = aiohttp.TCPConnector(limit=0)
        async with (
            aiohttp.ClientSession(connector=connector) as http,
            floor_server(http) as floor,
            our_server(http, folder, settings) as ours,
        ):
            started = [
                Row("start to ready", ours.ready_after, "s", 1.0),
                Row("memory at start", ours.memory(), "MB", 80),
            ]
            rows = [*started, *await _latency(http, floor, ours), *await _replays(http, floor, ours)]
            rows += await _idle(http, ours)
        rate = max([await measures.appends(folder, 100, 200) for _ in range(1)])
        rows.append(Row("durable appends, 100 conversations", rate, "/s", 20_000, most=False))
        return [*rows, *await conversations.rows(), *await sandboxes.rows()]


async def _latency(http: aiohttp.ClientSession, floor: Running, ours: Running) -> list[Row]:
    auth = measures.protocol_2(await measures.held(http, ours.port))
    for count in (200, 1_000):  # the first warms up
        bare = measures.median(await measures.client_echo(floor.port, {}, count, "echo", "echo")) * 1e3
        echo = measures.median(await measures.client_echo(ours.port, auth, count, "oh_user_action", "oh_event")) * 1e3
        raw_bare = measures.median(await measures.bare_echo(http, floor.port, count)) * 1e3
        raw_echo = measures.median(await measures.durable_echo(http, ours.port, count)) * 1e3
    others = measures.percentile(await measures.others_during_replay(http, ours.port, "long", LONG), 0.99) * 1e3
    bare_fan = measures.median(await measures.bare_fan_out(http, floor.port, 100, 50)) * 1e3
    fan = measures.median(await measures.fan_out(http, ours.port, 100, 50)) * 1e3
    return [
        Row("message to its durable echo, p50", echo, "ms", 3 * bare, bare),
        Row("the same between raw frames, p50", raw_echo, "ms", 3 * raw_bare, raw_bare),
        Row("another conversation during a replay, p99", others, "ms", 5.0),
        Row("one event to 100 clients, p50", fan, "ms", 4.0, bare_fan),
    ]


async def _replays(http: aiohttp.ClientSession, floor: Running, ours: Running) -> list[Row]:
    flood = measures.median([await measures.bare_flood(http, floor.port, LONG) for _ in range(ROUNDS)]) * 1e3
    rows = []
    for protocol, name, goal, goal_of_50 in ((1, "V0", 250.0, 1_000.0), (2, "protocol 2", 80.0, 400.0)):
        times = [await measures.replay(http, ours.port, "long", LONG, protocol) for _ in range(ROUNDS)]
        rows.append(Row(f"replay of 10,000 events, {name}", measures.median(times) * 1e3, "ms", goal, flood))
        crowd = [await measures.reconnects(http, ours.port, "short", SHORT, 50, protocol) for _ in range(ROUNDS)]
        rows.append(Row(f"50 clients to 1,000 events each, {name}", measures.median(crowd) * 1e3, "ms", goal_of_50))
    return rows


async def _idle(http: aiohttp.ClientSession, ours: Running) -> list[Row]:
    count = 300
    await asyncio.gather(*(measures.created(http, ours.port) for _ in range(20)))  # the pools are full from here on
    before, threads = ours.memory(), ours.threads()
    for _ in range(count):
        await measures.created(http, ours.port)
    await asyncio.sleep(0.5)
    each = (ours.memory() - before) * 1024 / count
    return [
        Row("memory of a live, idle conversation", each, "KB", 100),
        Row("threads of 300 conversations more", ours.threads() - threads, "", 0),
    ]


if __name__ == "__main__":
    write(asyncio.run(main()), sys.stdout.write)
