"""Conversations whose long logs have no snapshot: opened together, they all open, and nobody waits for them."""

import asyncio
from pathlib import Path

import pytest

from openhands_sessions.adapters.stores.sqlite import open_sqlite
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.core.snapshots import SPACING
from tests.support.long_logs import long_log, write_logs
from tests.support.running_server import prepared_server
from tests.support.server_clients import Clients
from tests.support.socket_clients import Protocol2Client

PATIENCE = 300.0
SOON = 20.0
"""Seconds in which a list answers on a machine that is busy with other tests: a fold of all logs takes longer."""


@pytest.mark.parametrize(
    ("count", "events"), [(3, 6_000), pytest.param(10, 60_000, marks=(pytest.mark.long, pytest.mark.timeout(900)))]
)
async def test_long_logs_without_a_snapshot_that_are_opened_together_all_open(
    data_dir: Path, count: int, events: int
) -> None:
    sids, entries = [f"long-{number}" for number in range(count)], long_log(events)
    async with prepared_server(data_dir) as server, Clients(server.url) as clients:
        await write_logs(data_dir / "sessions.db", sids, entries)
        await server.start()
        operator = clients.operator()
        await operator.connect()
        joined = [clients.protocol2(sid) for sid in sids]
        await asyncio.gather(*(client.connect(after=entries[-1].id) for client in joined))
        async with asyncio.timeout(SOON):
            described = await asyncio.gather(*map(clients.rest.describe, sids))
            assert [each["session"]["head"] for each in described] == [entries[-1].id] * count
            assert len((await clients.rest.ask("GET", "/api/conversations"))[1]["results"]) == count
        for client in joined:
            await until_ready(client)
            assert [told["id"] for told in client.statuses[:2]] == ["STATUS$INITIALIZING"] * 2
            assert client.statuses[1]["message"] == f"Reading {len(entries):,} events of the log."
        await operator.until(lambda: {operator.state_of(sid) for sid in sids} == {"Ready"})
        assert await server.stopped() == 0
    async with open_sqlite(data_dir / "sessions.db") as store:
        for sid in map(ConversationId, sids):
            snapshot = await store.snapshots.load(sid)
            assert snapshot is not None
            assert snapshot.head >= len(entries) - SPACING


async def until_ready(client: Protocol2Client) -> None:
    await client.until(lambda: "STATUS$READY" in [told.get("id") for told in client.statuses], PATIENCE)
