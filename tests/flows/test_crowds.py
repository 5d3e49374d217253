"""Many clients that leave in one moment and come again: another client is served meanwhile, and the server ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.bench.load import Job
from tests.bench.loads import SOCKET_IO, LoadProcess
from tests.bench.measures import protocol_2
from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients

CONVERSATIONS = 10
GRACE = 20.0
"""The default of server.shutdown_grace."""
LEFT = 60.0
"""Seconds in which a busy machine forgets ten thousand clients."""
CROWDS = [300, pytest.param(10_000, marks=[pytest.mark.long, pytest.mark.timeout(300)])]


SETTINGS = {"OHS_LIMITS__AUTHENTICATION_TIMEOUT": "60", "OHS_LIMITS__SLOW_CLIENT_GRACE": "60"}
"""The load generator is one process: on a busy machine its clients owe bytes, and read, for longer than users' do."""


@pytest.fixture
async def server(data_dir: Path) -> AsyncIterator[Server]:
    async with running_server(data_dir, SETTINGS) as ready:
        yield ready


async def crowd_of(count: int, server: Server, clients: Clients) -> Job:
    """Clients that follow ten conversations."""
    conversations = [await clients.rest.create() for _ in range(CONVERSATIONS)]
    return Job(
        scenario="hold",
        port=server.port,
        path=SOCKET_IO,
        connects=["40" + json.dumps(protocol_2(sid)) for sid in conversations] * (count // CONVERSATIONS),
        accepted='42["hello"',
        message="",
        seconds=0.0,
    )


def connections(server: Server) -> int:
    """Open sockets of the server's process."""
    count = 0
    for path in Path(f"/proc/{server.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            count += path.readlink().name.startswith("socket:")
    return count


async def gone_again(server: Server, before: int) -> None:
    async with asyncio.timeout(LEFT):
        while connections(server) > before:  # noqa: ASYNC110 - nothing tells of the end of a connection
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("count", CROWDS)
async def test_others_are_served_while_a_crowd_leaves_and_comes_again_and_the_server_ends_in_time(
    count: int, server: Server, clients: Clients
) -> None:
    job = await crowd_of(count, server, clients)
    other = clients.protocol2(await clients.rest.create())
    await other.connect()
    await other.until_state("awaiting_user_input")
    before = connections(server)

    crowd = await LoadProcess.start(job)
    assert connections(server) >= before + count
    await crowd.end()
    await other.say("still here?")
    await other.until_state("awaiting_user_input", after=other.last)
    await gone_again(server, before)

    crowd = await LoadProcess.start(job)
    assert connections(server) >= before + count
    async with asyncio.timeout(GRACE):
        assert await server.stopped() == 0
    await crowd.end()
    await other.until_gone()
    assert other.faults == []
    assert other.others[-1] == ("ended", {"reason": "shutdown"})
