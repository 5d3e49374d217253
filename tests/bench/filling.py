"""Conversations that are there before the server starts."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from openhands_sessions.adapters.stores.sqlite import open_sqlite
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId
from openhands_sessions.ports.store import ConversationRow
from tests.bench import measures
from tests.bench.bench import Bench
from tests.bench.client import connected

TEXT = 400
"""Characters of a message that make an event of about 1 KB: it has its text twice."""
UNDER_WAY = 100


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
