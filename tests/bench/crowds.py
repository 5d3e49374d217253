"""Rows of ten thousand clients that come, leave at once and come again, while another one is served."""

import asyncio
import time

from tests.bench.bench import Bench
from tests.bench.loads import LoadProcess, held, our_job
from tests.bench.servers import Running
from tests.bench.table import Row

CROWD = 10_000
FOLLOWED = 100
"""Conversations that the crowd is spread over."""
WATCHED = 40.0
"""Seconds in which another client makes round trips while the crowd leaves and comes again."""
RESTING = 0.2
"""Of a second of processor time, which the other client alone takes less than."""


async def crowds(bench: Bench) -> list[Row]:
    async with bench.server() as ours:
        conversations = await held(bench, ours, FOLLOWED)
        job = our_job(ours, "hold", conversations * (CROWD // FOLLOWED), 0.0)
        before = ours.cpu()
        crowd = await LoadProcess.start(job)
        came = ours.cpu() - before
        other = await LoadProcess.start(our_job(ours, "bystander", await held(bench, ours, 1), WATCHED))
        watching = asyncio.create_task(other.run())
        before = ours.cpu()
        await crowd.end()
        await _at_rest(ours)
        left = ours.cpu() - before
        crowd = await LoadProcess.start(job)
        slowest = max((await watching).times)
        await other.end()
        begun = time.perf_counter()
        code = await ours.terminated()
        stopped = time.perf_counter() - begun
        await crowd.end()
    return [
        Row("10,000 clients connect, server CPU of one", came / CROWD * 1e3, "ms", 0.7),
        Row("10,000 clients leave at once, server CPU of one", left / CROWD * 1e3, "ms", 0.3),
        Row("another client's slowest round trip meanwhile", slowest * 1e3, "ms", 100),
        Row("SIGTERM to the end, with 10,000 clients", stopped, "s", 20),
        Row("its exit code", code, "", 0),
    ]


async def _at_rest(server: Running) -> None:
    """Wait until the server has done what its clients' leaving brings with it."""
    used = 1.0
    while used > RESTING:
        before = server.cpu()
        await asyncio.sleep(1.0)
        used = server.cpu() - before
