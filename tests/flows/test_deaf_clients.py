"""A client that never reads, while much is said: it costs little, delays nobody, and catches up in the end."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.event_summaries import Event
from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients
from tests.support.socket_clients import Protocol2Client
from tests.support.stalled_client import StalledClient

MESSAGE = "x" * 250_000
MESSAGES = 220
GRACE = 2.0
MEGABYTES = 30.0


async def test_a_client_that_never_reads_costs_little_and_delays_nobody(data_dir: Path) -> None:
    limits = {
        "OHS_LIMITS__SLOW_CLIENT_GRACE": str(GRACE),
        "OHS_LIMITS__MESSAGES_PER_SECOND": "1000",
        "OHS_AGENT__CONDENSER_MAX_SIZE": "20",
    }
    async with running_server(data_dir, limits) as server, Clients(server.url) as clients:
        sid = await clients.rest.create()
        one, other = clients.protocol2(sid), clients.protocol2(sid)
        await one.connect()
        await other.connect()
        await one.until_state("awaiting_user_input")
        async with stalled(server, sid) as slow:
            for _ in range(10):
                await spoken(one, other)
            before = server.memory()
            most, longest = before, 0.0
            for _ in range(MESSAGES):
                longest = max(longest, await spoken(one, other))
                most = max(most, server.memory())
            assert (await clients.rest.describe(sid))["num_connections"] == 2
            assert '"reason":"slow_consumer"' in server.log
            events = await slow.rest()
        log = await clients.rest.events(sid)
        print(f"memory {before:.0f} MB, at most {most:.0f} MB; the longest delay {longest:.3f} s; {weight(log):.0f} MB")
        assert weight(log) >= 50
        assert most - before < MEGABYTES
        assert longest < GRACE / 2
        assert one.events == other.events == log
        assert len(events) < len(log) // 2
        assert events == log[: len(events)]
        late = clients.protocol2(sid)
        late.events = events
        await late.connect()
        await late.until_id(log[-1]["id"])
        assert late.events == log
        assert late.faults == one.faults == other.faults == []


async def spoken(one: Protocol2Client, other: Protocol2Client) -> float:
    """A long message and what comes of it; the seconds until both have both."""
    begun = time.monotonic()
    said = await one.say(MESSAGE)
    for each in (one, other):
        await each.until_state("awaiting_user_input", after=said)
    return time.monotonic() - begun


def weight(log: Sequence[Event]) -> float:
    """Megabytes of the messages in a log."""
    return sum(len(str(event.get("message"))) for event in log) / 1e6


@asynccontextmanager
async def stalled(server: Server, sid: str) -> AsyncIterator[StalledClient]:
    client = StalledClient(server.url, sid)
    try:
        await client.connect()
        yield client
    finally:
        await client.close()
