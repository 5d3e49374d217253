"""Many connections at once: of strangers, who lock nobody out, and of clients that all come back together."""

import asyncio
import json
import random
import time
from pathlib import Path

import pytest

from tests.support.raw_connections import UPGRADE, WEBSOCKET, RawConnection, raw_connection
from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients
from tests.support.strangers import flood

KEY = "a key"
GUARDED = {"OHS_SESSION_API_KEY": KEY, "OHS_AUTH__KIND": "session_key"}
AT_ONCE = 200
"""Connects of this process that are under way together: the queue of the listening socket is no part of the test."""


@pytest.mark.parametrize(
    ("strangers", "most", "seconds"),
    [(300, 100, 1.5), pytest.param(6_000, 2_000, 60.0, marks=[pytest.mark.long, pytest.mark.timeout(300)])],
)
async def test_strangers_lock_nobody_out(data_dir: Path, strangers: int, most: int, seconds: float) -> None:
    settings = {
        **GUARDED,
        "OHS_LIMITS__UNAUTHENTICATED_CONNECTIONS": str(most),
        "OHS_LIMITS__AUTHENTICATION_TIMEOUT": "4",
    }
    async with running_server(data_dir, settings) as server, Clients(server.url, key=KEY) as clients:
        client = clients.protocol2(await clients.rest.create())
        await client.connect()
        before, memory = files(server), server.memory()
        most_files, longest, entered = before, 0.0, []
        async with flood(server.port, strangers) as came:
            ends = time.monotonic() + seconds
            while (begun := time.monotonic()) < ends:
                assert await client.say("true")
                longest = max(longest, time.monotonic() - begun)
                entered.append(await seconds_to_enter(server, client.sid))
                most_files = max(most_files, files(server))
        print(f"{came[0]} strangers came; at most {most_files - before} files, {server.memory() - memory:.0f} MB more")
        print(f"the longest message took {longest:.2f} s; {len(entered)} clients entered within {max(entered):.2f} s")
        assert client.connected
        assert most_files - before <= most + 100
        assert longest < 20
        assert server.memory() - memory < 400
        async with asyncio.timeout(30):
            while files(server) > before + 16:
                await client.say("true")
        faults = [line for line in server.log.splitlines() if "Traceback" in line]
        assert not faults, faults[0]


@pytest.mark.parametrize("number", [300, pytest.param(10_000, marks=[pytest.mark.long, pytest.mark.timeout(600)])])
async def test_clients_that_return_all_at_once_all_get_in(data_dir: Path, number: int) -> None:
    async with running_server(data_dir, GUARDED) as server:
        async with Clients(server.url, key=KEY) as clients:
            sid = await clients.rest.create()
        gate = asyncio.Semaphore(AT_ONCE)
        begun = time.monotonic()
        async with asyncio.timeout(500):
            connected = await asyncio.gather(*(entered_at_last(server, sid, gate) for _ in range(number)))
        tries = [count for _, count in connected]
        took = time.monotonic() - begun
        print(f"{number} clients got in within {took:.1f} s, {sum(tries) - number} tries failed")
        assert all(not connection.gone.is_set() for connection, _ in connected)
        for connection, _ in connected:
            connection.close()


def files(server: Server) -> int:
    return len(list(Path(f"/proc/{server.pid}/fd").iterdir()))


async def seconds_to_enter(server: Server, sid: str) -> float:
    """As a client does that is refused: it tries again."""
    begun = time.monotonic()
    connection, _ = await entered_at_last(server, sid, asyncio.Semaphore())
    connection.close()
    return time.monotonic() - begun


async def entered_at_last(server: Server, sid: str, gate: asyncio.Semaphore) -> tuple[RawConnection, int]:
    """A connection that the namespace has let in, and how many tries it took."""
    auth = json.dumps({"protocol": 2, "conversation_id": sid, "session_api_key": KEY})
    tries = 0
    while True:
        tries += 1
        try:
            async with gate:
                connection = await raw_connection(server.port)
            connection.ask(WEBSOCKET, UPGRADE)
            await connection.until(b'"sid"')
            connection.say(f"40{auth}")
            await connection.until(b'40{"sid"')
            connection.answers_pings = True
        except OSError:
            await asyncio.sleep(random.uniform(0.5, 1.5) * min(tries, 5))
        else:
            return connection, tries
