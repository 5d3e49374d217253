"""Rows of control over sessions: creations, limits, interrupts, closes, and a reader of server-sent events."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Mapping

import aiohttp

from tests.bench import measures
from tests.bench.bench import Bench
from tests.bench.filling import fill
from tests.bench.table import Row

LIVE = 200
CREATED = 50
AT_ONCE = 1_000
ADMITTED = 200
INTERRUPTS = 40
REPLAYED = 10_000
ROUNDS = 3


async def controls(bench: Bench) -> list[Row]:
    return [*await _sessions(bench), *await _limit(bench), *await _reader(bench)]


async def _sessions(bench: Bench) -> list[Row]:
    async with bench.server() as ours:
        held = [await measures.created(bench.http, ours.port, "hold on") for _ in range(LIVE)]
        creations = [await _timed(measures.created(bench.http, ours.port)) for _ in range(CREATED)]
        interrupts = [await _timed(_interrupted(bench.http, ours.port, sid)) for sid in held[:INTERRUPTS]]
        closes = [await _timed(_posted(bench.http, ours.port, f"{sid}/stop", {})) for sid in held[:INTERRUPTS]]
    return [
        Row("create and first state, 200 live, p99", measures.percentile(creations, 0.99) * 1e3, "ms", 50.0),
        Row("interrupt of a model call to its record, p50", measures.median(interrupts) * 1e3, "ms", 50.0),
        Row("the same, slowest", max(interrupts) * 1e3, "ms", 1_000.0),
        Row("closing an idle session, slowest", max(closes) * 1e3, "ms", 200.0),
    ]


async def _limit(bench: Bench) -> list[Row]:
    """Creations at once, each with a turn that holds its place."""
    async with bench.server(settings={"OHS_SERVER__MAX_SESSIONS": str(ADMITTED)}) as ours:
        url = f"http://127.0.0.1:{ours.port}/api/conversations"

        async def create() -> int:
            async with bench.http.post(url, json={"initial_user_msg": "hold on"}) as answer:
                return answer.status

        begun = time.perf_counter()
        told = Counter(await asyncio.gather(*(create() for _ in range(AT_ONCE))))
        took = time.perf_counter() - begun
    return [
        Row("1,000 creations at once at a limit of 200: too many", told[200] - ADMITTED, "", 0),
        Row("the same, too few", ADMITTED - told[200], "", 0),
        Row("the same, all answered", took, "s", 3.0),
    ]


async def _reader(bench: Bench) -> list[Row]:
    async with bench.data_dir() as folder:
        await fill(bench, folder, {"long": REPLAYED})
        async with bench.server(folder) as ours:
            url = f"http://127.0.0.1:{ours.port}/api/conversations/long/events/stream"
            times = [await _timed(_read(bench.http, url)) for _ in range(ROUNDS)]
    return [Row("server-sent events, 10,000 stored ones", measures.median(times) * 1e3, "ms", 150.0)]


async def _timed(work: Awaitable[object]) -> float:
    begun = time.perf_counter()
    await work
    return time.perf_counter() - begun


async def _interrupted(http: aiohttp.ClientSession, port: int, sid: str) -> None:
    """Answered once the stop is durable, and the turn gone."""
    command = {"action": "change_agent_state", "args": {"agent_state": "stopped"}}
    await _posted(http, port, f"{sid}/events", command)


async def _posted(http: aiohttp.ClientSession, port: int, path: str, body: Mapping[str, object]) -> None:
    async with http.post(f"http://127.0.0.1:{port}/api/conversations/{path}", json=body) as answer:
        answer.raise_for_status()
        await answer.read()


async def _read(http: aiohttp.ClientSession, url: str) -> None:
    last = f"id: {REPLAYED - 1}\n".encode()
    rest = b""
    async with http.get(url) as answer:
        async for piece in answer.content.iter_any():
            if last in rest + piece:
                return
            rest = piece[-len(last) :]
