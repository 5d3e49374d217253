"""`make bench`: our server beside a bare echo server, in one run. Prints a table and writes `bench.json`."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import aiohttp
import structlog

from tests.bench import (
    control,
    conversations,
    crowds,
    executors,
    latencies,
    library,
    loads,
    many_sessions,
    moves,
    operating,
    quotas,
    redaction,
    sandboxes,
    starts,
    tokens,
)
from tests.bench.against import checked_out, comparison
from tests.bench.bench import Bench
from tests.bench.servers import floor_server
from tests.bench.table import Row, write

Measure = Callable[[Bench], Awaitable[list[Row]]]

SERVER_ROWS: Mapping[str, Measure] = {
    "start": starts.start,
    "help": starts.help_text,
    "echoes": latencies.echoes,
    "fan-out": loads.fan_out,
    "round-trips": loads.round_trips,
    "connects": loads.connects,
    "bystander": loads.bystander,
    "memory": loads.live_memory,
    "crowds": crowds.crowds,
    "waves": loads.waves,
    "many-sessions": many_sessions.many_sessions,
    "scrapes": operating.scrapes,
    "backups": operating.backups,
    "replays": latencies.replays,
    "idle": latencies.idle,
    "first": conversations.first,
}
"""They drive a server from outside alone, and so measure any revision."""
ROWS: Mapping[str, Measure] = {
    **SERVER_ROWS,
    "appends": latencies.appends,
    "folds": latencies.folds,
    "moves": moves.moves,
    "conversations": conversations.rows,
    "executors": executors.rows,
    "sandboxes": sandboxes.rows,
    "tokens": tokens.tokens,
    "quotas": quotas.quotas,
    "control": control.controls,
    "redaction": redaction.redaction,
    "library": library.rows,
}


async def alone(names: Sequence[str], profile: Path | None, peers: Path | None) -> list[Row]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http, floor_server(http) as floor:
        bench = Bench(http=http, floor=None if profile else floor, profile=profile, peers=peers)
        return [row for name in names for row in await ROWS[name](bench)]


async def against(names: Sequence[str], revision: str, runs: int) -> str:
    """Before and after in turn, so that what else the machine does falls on both."""
    before: list[Row] = []
    after: list[Row] = []
    connector = aiohttp.TCPConnector(limit=0)
    async with checked_out(revision) as folder, aiohttp.ClientSession(connector=connector) as http:
        bench = Bench(http=http)
        for name in names:
            for number in range(runs):
                print(f"{name}: run {number + 1} of {runs}", file=sys.stderr)
                before += await SERVER_ROWS[name](replace(bench, code=folder))
                after += await SERVER_ROWS[name](bench)
    return comparison(before, after)


def _names(text: str, known: Mapping[str, Measure]) -> list[str]:
    names = [name.strip() for name in text.split(",")] if text else list(known)
    if unknown := sorted(set(names) - set(known)):
        raise SystemExit(f"no such rows: {', '.join(unknown)}. There are {', '.join(known)}")
    return names


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rows", default="", metavar="NAME,…", help=f"of {', '.join(ROWS)}; all if not given")
    parser.add_argument("--against", metavar="REV", help="compare with another revision's server, as Markdown")
    parser.add_argument("--runs", type=int, default=5, help="of each server with --against; 5 if not given")
    parser.add_argument(
        "--profile", type=Path, metavar="FILE", help="run our server under cProfile, without the others"
    )
    parser.add_argument(
        "--peers", type=Path, metavar="PYTHON", help="one that has the libraries to measure beside ours"
    )
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    if given.against:
        print(asyncio.run(against(_names(given.rows, SERVER_ROWS), given.against, given.runs)))
    else:
        write(asyncio.run(alone(_names(given.rows, ROWS), given.profile, given.peers)), sys.stdout.write)


if __name__ == "__main__":
    main()
