"""Steps of a test that moves the history of a session."""

import asyncio
from collections.abc import Sequence

from openhands_sessions.core.commands import Command
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.event import Event, Source
from openhands_sessions.core.events.own import HistoryMovedObservation
from openhands_sessions.core.history_commands import HistoryMove
from openhands_sessions.core.ids import OwnerId
from openhands_sessions.core.lineage import on_chain
from openhands_sessions.session.agent_session import AgentSession
from openhands_sessions.session.idempotency import IdempotencyKey
from tests.support.session_harness import LONG, SessionHarness, only, until


async def do(session: AgentSession, command: Command, key: str | None = None) -> Event:
    """The first event that the command has led to."""
    async with asyncio.timeout(LONG):
        idempotency = None if key is None else IdempotencyKey.of(key, command)
        accepted = await session.submit(command, idempotency, OwnerId("ada"))
    return await session.event_stream.event(accepted.id)


async def move_history(session: AgentSession, command: HistoryMove) -> HistoryMovedObservation:
    after = session.event_stream.view.head
    await do(session, command)
    found = await until(session, lambda event: isinstance(event, HistoryMovedObservation), after)
    assert isinstance(found, HistoryMovedObservation)
    return found


def messages_of_user(events: Sequence[Event]) -> list[MessageAction]:
    return [event for event in only(events, MessageAction) if event.source is Source.USER]


async def visible(harness: SessionHarness, session: AgentSession) -> list[str]:
    """What was said on the visible chain."""
    chain, events = session.event_stream.view.chain, await harness.events()
    return [event.content for event in only(events, MessageAction) if on_chain(chain, event.id)]
