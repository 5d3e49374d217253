"""Conversations that are there before the server starts."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from openhands_sessions.adapters.stores.sqlite import open_sqlite
from openhands_sessions.core.events.codec import stored
from openhands_sessions.core.events.event import Source
from openhands_sessions.core.events.observations import RunObservation
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId, EventId
from openhands_sessions.ports.store import ConversationRow
from tests.bench import measures
from tests.bench.bench import Bench
from tests.bench.client import connected
from tests.support.long_logs import write_logs

TEXT = 400
"""Characters of a message that make an event of about 1 KB: it has its text twice."""
UNDER_WAY = 100
LARGE, LARGE_TEXT = 20, 20_000
"""Conversations of a large store, and characters of each of their events."""


async def fill(bench: Bench, data_dir: Path, conversations: dict[str, int]) -> None:
    """Have a server write conversations of the given lengths, or a few events more, and stop them."""
    message = {"action": "message", "args": {"content": "x" * TEXT}}
    async with bench.server(data_dir) as server:
        for name, count in conversations.items():
            auth = {**measures.protocol_2(name), "create": True}
            async with connected(bench.http, server.port, {}, auth) as client:
                for number in range(count):
                    await client.send("oh_user_action", message)
                    if number % UNDER_WAY == 0:
                        await client.until(f'"id":{number},')
                await client.until(f'"id":{count - 1},')
            async with bench.http.post(f"http://127.0.0.1:{server.port}/api/conversations/{name}/stop") as response:
                response.raise_for_status()


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


async def large(database: Path, size: int) -> None:
    """Write conversations with events of so many bytes in all."""
    sids = [f"large-{number}" for number in range(LARGE)]
    entries = [
        stored(RunObservation(id=EventId(number), source=Source.AGENT, command="make", content="x" * LARGE_TEXT))
        for number in range(size // LARGE // LARGE_TEXT)
    ]
    await write_logs(database, sids, entries)
