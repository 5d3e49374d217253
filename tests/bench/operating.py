"""Rows of what operators do while users work: scrapes of `/metrics`, and backups."""

import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench import measures
from tests.bench.bench import Bench
from tests.bench.filling import large
from tests.bench.load import Result
from tests.bench.loads import LoadProcess, held, our_job
from tests.bench.servers import Running, environment
from tests.bench.table import Row

LIVE = 1_000
"""Sessions that are live while the metrics are read."""
WRITERS = 100
"""Conversations that write while a backup is made."""
STORED = 1_000_000_000
"""Bytes of events in the store that is copied."""
SECONDS = 5.0
EVERY = 0.1
"""Seconds between two scrapes."""


async def scrapes(bench: Bench) -> list[Row]:
    """How long a scrape takes, and by how much another client's slowest round trip is longer than it usually is."""
    async with bench.server(settings={"OHS_SERVER__MAX_SESSIONS": str(LIVE + 1)}) as ours:
        await held(bench, ours, LIVE)
        first = await _scraped(bench, ours)  # it loads the library that writes them
        other = await held(bench, ours, 1)
        usual = await _measured(ours, "bystander", other)
        watching = asyncio.create_task(_measured(ours, "bystander", other))
        times: list[float] = []
        while not watching.done():
            times.append(await _scraped(bench, ours))
            await asyncio.wait([watching], timeout=EVERY)
        slowest = max((await watching).times) - measures.percentile(usual.times, 0.99)
    return [
        Row("the first /metrics of a server, with 1,000 live sessions", first * 1e3, "ms", 200),
        Row("/metrics with 1,000 live sessions, p99", measures.percentile(times, 0.99) * 1e3, "ms", 20),
        Row("another client is held up meanwhile by", max(0.0, slowest) * 1e3, "ms", 5),
    ]


async def backups(bench: Bench) -> list[Row]:
    """How long the copy of a large store takes, and what those notice who write to it meanwhile."""
    async with bench.data_dir() as data_dir:
        await large(data_dir / "sessions.db", STORED)
        async with bench.server(data_dir) as ours:
            conversations = await held(bench, ours, WRITERS)
            usual = await _measured(ours, "writers", conversations)
            copying = asyncio.create_task(_backed_up(bench, data_dir))
            times: list[float] = []
            while not copying.done():
                times += (await _measured(ours, "writers", conversations)).times
            size, seconds = await copying
    p99, before = (measures.percentile(each, 0.99) * 1e3 for each in (times, usual.times))
    name = f"a backup of {size / 1e9:.1f} GB while 100 conversations write"
    return [
        Row(name, seconds, "s", 30 * size / 1e9),
        Row("the same, p99 of a message", p99, "ms", 3 * before, floor=before),
    ]


async def _measured(server: Running, scenario: str, conversations: Sequence[str]) -> Result:
    load = await LoadProcess.start(our_job(server, scenario, conversations, SECONDS))
    try:
        return await load.run()
    finally:
        await load.end()


async def _scraped(bench: Bench, server: Running) -> float:
    begun = time.perf_counter()
    async with bench.http.get(f"http://127.0.0.1:{server.port}/metrics") as answer:
        answer.raise_for_status()
        await answer.read()
    return time.perf_counter() - begun


async def _backed_up(bench: Bench, data_dir: Path) -> tuple[int, float]:
    """Bytes of the copy, and seconds."""
    with tempfile.TemporaryDirectory(prefix="ohs-bench-backup-") as name:
        copy = Path(name) / "copy"
        command = [sys.executable, "-m", "openhands_sessions", "backup", str(copy), "--data-dir", str(data_dir)]
        begun = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=bench.code,
            env=environment({"PYTHONPATH": str(bench.code)}),
            stdout=asyncio.subprocess.DEVNULL,
        )
        if await process.wait():
            raise RuntimeError("the backup failed")
        seconds = time.perf_counter() - begun
        return await asyncio.to_thread(_size, copy), seconds


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
