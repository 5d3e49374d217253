"""A program that uses the library, in a process of its own; the figures that it prints are JSON.

python -m tests.bench.library_program SCENARIO DATABASE"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from openhands_sessions import Agent, Session
from openhands_sessions.adapters.stores.sqlite import open_sqlite
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.event import Source
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.core.lineage import Checkpoint
from openhands_sessions.session.event_stream import EventStream
from openhands_sessions.session.feed import Feed
from tests.support.processes import private_memory

LONG = "long"
TEXT = "x" * 200
TIMES = 100
MOVES = 30
MERGED = 1_000
INCREMENTS = 500

Figures = Mapping[str, object]


def session(database: str, name: str = LONG) -> Session:
    return Session(name, agent=Agent(llm="scripted:short"), store=f"sqlite:///{database}")


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def opened(database: str) -> Figures:
    """Its snapshots are stored then, as those of any session that has been used."""
    with session(database) as ours:
        ours.create_checkpoint()
        return {}


def opening(database: str) -> Figures:
    """The engine is loaded, and the store open, by another session; the long one is opened by its first call."""
    with session(database, "other") as other:
        other.chat("hello")
        other.get_history(limit=50)
    before = private_memory(os.getpid())
    took = seconds(lambda: session(database).get_history(limit=50))
    return {"seconds": took, "bytes": private_memory(os.getpid()) - before}


def appends(database: str) -> Figures:
    """What a turn's two messages cost in its log alone: they are stored as one, folded and published."""
    return {"seconds": asyncio.run(_appended(Path(database)))}


async def _appended(database: Path) -> list[float]:
    sid = ConversationId(LONG)
    async with open_sqlite(database) as store:
        log = store.log(sid)
        stream = EventStream(log, Feed(log), lambda: datetime.now(UTC))
        await stream.load(await store.claim(sid), await store.snapshots.load(sid))
        times = []
        for _ in range(TIMES):
            begun = time.perf_counter()
            await stream.append(*(MessageAction(source=source, content=TEXT) for source in (Source.USER, Source.AGENT)))
            times.append(time.perf_counter() - begun)
    return times


def checkpoints(database: str) -> Figures:
    with session(database) as ours:
        ours.create_checkpoint()
        return {"seconds": [seconds(ours.create_checkpoint) for _ in range(TIMES)]}


def branches(database: str) -> Figures:
    with session(database) as ours:
        ours.create_checkpoint()
        return {"seconds": [seconds(partial(ours.branch, f"branch-{number}")) for number in range(MOVES)]}


def restores(database: str) -> Figures:
    """To the ends of turns all over the log, the last ones first."""
    with session(database) as ours:
        ours.create_checkpoint()
        ends = [entry["id"] - 1 for entry in ours.get_history() if entry["role"] == "user"][1:]
        places = [Checkpoint(name="", description="", at=at) for at in reversed(ends[:: max(1, len(ends) // MOVES)])]
        return {"seconds": [seconds(partial(ours.restore_checkpoint, place)) for place in places]}


def merge(database: str) -> Figures:
    """Two branches that have their first turn in common."""
    with session(database, "merged") as ours:
        ours.chat("hello")
        begun = ours.create_checkpoint()
        for number in range(MERGED):
            ours.chat(f"ours {number}")
        ours.restore_checkpoint(begun, branch="theirs")
        for number in range(MERGED):
            ours.chat(f"theirs {number}")
        begin = time.perf_counter()
        done = ours.merge("theirs")
        return {"seconds": time.perf_counter() - begin, "turns": done.turns}


def increments(database: str) -> Figures:
    """All processes begin when their line comes."""
    with session(database, "counted") as ours:
        ours.incr("warm")
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        begun = time.time()
        times = [seconds(lambda: ours.incr("count")) for _ in range(INCREMENTS)]
        return {"seconds": times, "begun": begun, "ended": time.time()}


def total(database: str) -> Figures:
    with session(database, "counted") as ours:
        return {"count": ours.get_state("count", 0)}


SCENARIOS: Mapping[str, Callable[[str], Figures]] = {
    work.__name__: work
    for work in (opened, opening, appends, checkpoints, branches, restores, merge, increments, total)
}


def main() -> None:
    _, scenario, database = sys.argv
    figures = SCENARIOS[scenario](database)
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
