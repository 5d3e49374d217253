"""Conversations that are there before the server starts."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from openhands_sessions.adapters.stores.sqlite import open_sqlite
from openhands_sessions.core.events.actions import MessageAction, SystemAction
from openhands_sessions.core.events.codec import stored
from openhands_sessions.core.events.event import AgentState, Event, Source
from openhands_sessions.core.events.observations import AgentStateChangedObservation, RunMetadata, RunObservation
from openhands_sessions.core.events.own import StopReason, TurnEndedObservation
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId, EventId
from openhands_sessions.ports.store import ConversationRow

TEXT = 600
"""Characters of output that make an event of about 1 KB."""


def long_log(count: int) -> list[Event]:
    """A conversation of `count` events, all of which a V0 client is sent but the first state."""
    moment = datetime.now(UTC)
    first: list[Event] = [
        AgentStateChangedObservation(id=EventId(0), timestamp=moment, agent_state=AgentState.LOADING),
        SystemAction(id=EventId(1), timestamp=moment, source=Source.AGENT, content="prompt"),
        MessageAction(id=EventId(2), timestamp=moment, source=Source.USER, content="go"),
    ]
    runs = [
        RunObservation(
            id=EventId(number),
            timestamp=moment,
            source=Source.AGENT,
            command="make",
            content="x" * TEXT,
            metadata=RunMetadata(exit_code=0),
        )
        for number in range(3, count - 2)
    ]
    last = AgentStateChangedObservation(id=EventId(count - 1), timestamp=moment, agent_state=AgentState.FINISHED)
    ended = TurnEndedObservation(id=EventId(count - 2), timestamp=moment, stop_reason=StopReason.DONE, seen=count - 3)
    return [*first, *runs, ended, last]


async def fill(database: Path, conversations: dict[str, int]) -> None:
    """Write conversations of the given lengths."""
    async with open_sqlite(database) as store:
        moment = datetime.now(UTC)
        for name, count in conversations.items():
            sid = ConversationId(name)
            await store.conversations.create(
                ConversationRow(id=sid, owner=LOCAL_OWNER, created_at=moment, updated_at=moment)
            )
            term = await store.claim(sid)
            entries = [stored(event) for event in long_log(count)]
            for place in range(0, count, 500):
                part = entries[place : place + 500]
                await store.log(sid).append(part, expected=place - 1, term=term)


async def crowd(database: Path, count: int) -> None:
    """Write so many conversations without events."""
    async with open_sqlite(database) as store:
        moment = datetime.now(UTC)
        rows = [
            ConversationRow(
                id=ConversationId(f"crowd-{number}"),
                owner=LOCAL_OWNER,
                created_at=moment - timedelta(minutes=number),
                updated_at=moment,
            )
            for number in range(count)
        ]
        for place in range(0, count, 500):
            await asyncio.gather(*(store.conversations.create(row) for row in rows[place : place + 500]))
