"""Rows of a server that has just started, and of the command line."""

import asyncio
import sys
import time

from tests.bench.bench import Bench
from tests.bench.measures import median
from tests.bench.servers import environment, floor_server
from tests.bench.table import Row

ROUNDS = 5


async def start(bench: Bench) -> list[Row]:
    stock_cpu, stock_memory, stock_threads = None, None, None
    if bench.floor is not None:
        async with floor_server(bench.http) as floor:
            stock_cpu, stock_memory, stock_threads = floor.start_cpu, floor.memory(), floor.threads()
    starts = []
    for _ in range(ROUNDS):
        async with bench.server() as ours:
            starts.append((ours.ready_after, ours.start_cpu, ours.memory(), ours.threads()))
    ready, cpu, memory, threads = (median(figures) for figures in zip(*starts, strict=True))
    return [
        Row("start to ready", ready, "s", 1.0),
        Row("start, CPU", cpu, "s", 0.6, stock_cpu),
        Row("memory at start", memory, "MB", 75, stock_memory),
        Row("threads at start", threads, "", 4, stock_threads),
    ]


async def help_text(bench: Bench) -> list[Row]:
    """How long the command line takes to say what it can do."""
    times = []
    for _ in range(ROUNDS + 1):  # the first one compiles
        begun = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "openhands_sessions", "--help"),
            cwd=bench.code,
            env=environment({"PYTHONPATH": str(bench.code)}),
            stdout=asyncio.subprocess.DEVNULL,
        )
        await process.wait()
        times.append(time.perf_counter() - begun)
    return [Row("--help", median(times[1:]), "s", 0.35)]
