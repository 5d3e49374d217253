"""Rows of moves in the history of a long conversation: undo, and any other move."""

import tempfile
import time
from pathlib import Path

from openhands_sessions.adapters.stores.sqlite import open_sqlite
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.history_commands import GoBack, HistoryMove, SwitchBranch, Undo
from openhands_sessions.session.agent_session import AgentSession
from tests.bench import measures
from tests.bench.bench import Bench
from tests.bench.table import Row
from tests.fakes.model import FakeModel
from tests.support.long_logs import long_log, write_logs
from tests.support.session_harness import SessionHarness
from tests.support.store_entries import TALK

EVENTS = 100_000
UNDONE = 20
OTHERS = 30


async def moves(bench: Bench) -> list[Row]:
    """In a log of 100,000 events, whose snapshots were made when it was opened: from the command to its answer."""
    entries = long_log(EVENTS)
    with tempfile.TemporaryDirectory(prefix="ohs-bench-") as name:
        path = Path(name) / "sessions.db"
        await write_logs(path, [TALK], entries)
        async with open_sqlite(path) as store, SessionHarness(store=store, model=FakeModel([])).live() as session:
            undone = [await _seconds(session, Undo()) for _ in range(UNDONE)]
            opened = [entry.id for entry in entries if _opens_a_turn(entry)]
            others = [
                await _seconds(session, GoBack(message=opened[place]))
                for place in range(0, len(opened), len(opened) // OTHERS)
            ]
            for branch in session.event_stream.view.lineage.branches:
                others.append(await _seconds(session, SwitchBranch(branch=branch.name)))
    return [
        Row("undo of one of the last 20 turns of 100,000 events", measures.median(undone) * 1e3, "ms", 30),
        Row("the slowest other move there", max(others) * 1e3, "ms", 150),
    ]


async def _seconds(session: AgentSession, move: HistoryMove) -> float:
    begun = time.perf_counter()
    await session.submit(move)
    return time.perf_counter() - begun


def _opens_a_turn(entry: Stored) -> bool:
    return entry.kind == f"action:{MessageAction.KIND}" and '"source":"user"' in entry.text
