"""Sessions leave snapshots, so that a long log need not be folded whole."""

import asyncio

from openhands_sessions.core.events.observations import NullObservation
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.agent_session import AgentSession
from openhands_sessions.session.command_loop import TURN_SPACING
from tests.fakes.model import FakeModel
from tests.support.session_harness import LONG, SessionHarness, ask, rest, says


async def test_the_end_of_a_turn_leaves_a_snapshot_when_it_is_worth_one(store: SessionStore) -> None:
    harness = SessionHarness(store=store, model=FakeModel([says("Hello!"), says("Yes.")]))
    async with harness.live() as session:
        for text in ("hi", "again"):
            await session.event_stream.append(*[NullObservation()] * TURN_SPACING)
            await ask(session, text)
            await snapshot_of(store, session)


async def snapshot_of(store: SessionStore, session: AgentSession) -> None:
    """Wait until there is one of the newest event."""
    async with asyncio.timeout(LONG):
        while True:
            found = await store.snapshots.load(session.sid)
            if found is not None and found.head == session.event_stream.view.head:
                return
            await rest()
