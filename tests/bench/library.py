"""Rows of the library: what a program's sessions cost, in processes of their own, beside other libraries."""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from openhands_sessions.ports.program import PROGRAM
from tests.bench.bench import Bench
from tests.bench.measures import median, percentile
from tests.bench.peer_figures import Peers
from tests.bench.servers import HERE, environment
from tests.bench.table import Row
from tests.support.long_logs import long_log, write_logs

EVENTS, FEW = 100_000, 100
WRITERS, INCREMENTS = 8, 500
SCRIPT = "name: short\nreplies:\n  - when: never asked\n    steps: [{say: Yes.}]\nover: Done.\n"


async def rows(bench: Bench) -> list[Row]:
    peers = Peers(bench.peers)
    async with _database(EVENTS) as long, _database(FEW) as short, _database(0) as other:
        return [
            *await _opening(peers, long),
            *await _moves(peers, long),
            *await _appends(peers, long, short),
            *await _merge(other),
            *await _increments(other),
        ]


async def _opening(peers: Peers, long: Path) -> list[Row]:
    figures = await _run("opening", long)
    peer = await peers.figures("sqlite_session", EVENTS)
    return [
        peer.row(Row("open and get_history(50) of 100,000 events", figures["seconds"] * 1e3, "ms", 20), "opening"),
        Row("the same, memory", figures["bytes"] / 1e6, "MB", 20),
    ]


async def _moves(peers: Peers, long: Path) -> list[Row]:
    peer = await peers.figures("sqlite_saver", EVENTS)
    before = _stored(long)
    checkpoints = (await _run("checkpoints", long))["seconds"]
    between = _stored(long)
    branches = (await _run("branches", long))["seconds"]
    after = _stored(long)
    restores = (await _run("restores", long))["seconds"]
    bytes_each = (between - before) / len(checkpoints), (after - between) / len(branches)
    return [
        peer.row(Row("checkpoint at 100,000 events, p50", median(checkpoints) * 1e3, "ms", 5), "checkpoint"),
        peer.row(Row("a checkpoint in the file", bytes_each[0] / 1e3, "KB", 1), "bytes"),
        peer.row(Row("branch at 100,000 events, p50", median(branches) * 1e3, "ms", 5), "branch"),
        Row("a branch in the file", bytes_each[1] / 1e3, "KB", 1),
        peer.row(Row("the slowest restore at 100,000 events", max(restores) * 1e3, "ms", 150), "restore"),
    ]


async def _appends(peers: Peers, long: Path, short: Path) -> list[Row]:
    found = []
    for events, path in ((FEW, short), (EVENTS, long)):
        p95 = percentile((await _run("appends", path))["seconds"], 0.95) * 1e3
        row = Row(f"append of a turn's messages at {events:,} events, p95", p95, "ms", 3)
        for peer in ("sqlite_session", "session_store"):
            row = (await peers.figures(peer, events)).row(row, "append")
        found.append(row)
    return found


async def _merge(database: Path) -> list[Row]:
    figures = await _run("merge", database)
    return [Row(f"merge of two branches of {figures['turns']:,} turns", figures["seconds"] * 1e3, "ms", 300)]


async def _increments(database: Path) -> list[Row]:
    """Processes that add to one number at once; none of them fails, or the whole does."""
    started = [await _started("increments", database) for _ in range(WRITERS)]
    for process in started:
        assert process.stdout is not None
        await process.stdout.readline()
    results = await asyncio.gather(*(_ended(process, b"go\n") for process in started))
    count = (await _run("total", database))["count"]
    span = max(each["ended"] for each in results) - min(each["begun"] for each in results)
    p99 = percentile([took for each in results for took in each["seconds"]], 0.99) * 1e3
    return [
        Row("incr by 8 processes, 500 each, lost or doubled", abs(count - WRITERS * INCREMENTS), "", 0),
        Row("the same, rate", WRITERS * INCREMENTS / span, "/s", 1_500, most=False),
        Row("the same, p99 of one", p99, "ms", 100),
    ]


@asynccontextmanager
async def _database(events: int) -> AsyncIterator[Path]:
    """One with a long session of so many events, and the script of the model."""
    with tempfile.TemporaryDirectory(prefix="ohs-bench-") as name:
        path = Path(name) / "sessions.db"
        scripts = Path(f"{path}.files") / "scripts"
        scripts.mkdir(parents=True)
        (scripts / "short.yaml").write_text(SCRIPT)
        if events:
            await write_logs(path, ["long"], long_log(events), PROGRAM)
            await _run("opened", path)
        yield path


def _stored(database: Path) -> int:
    """Bytes of a database that no process has open."""
    return sum(path.stat().st_size for path in database.parent.glob(f"{database.name}*") if path.is_file())


async def _run(scenario: str, database: Path) -> Mapping[str, Any]:
    return await _ended(await _started(scenario, database))


async def _started(scenario: str, database: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.library_program", scenario, str(database)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment({"PYTHONPATH": str(HERE)}),
        cwd=HERE,
    )


async def _ended(process: asyncio.subprocess.Process, given: bytes = b"") -> Mapping[str, Any]:
    """What it prints last."""
    printed, _ = await process.communicate(given)
    if process.returncode:
        raise RuntimeError("a program that uses the library failed")
    figures: Mapping[str, Any] = json.loads(printed.splitlines()[-1])
    return figures
