"""Many who follow one conversation: all see the same, and one who never reads harms nobody."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.clients import Protocol2Client
from tests.support.guests import Guests
from tests.support.running import Server, running
from tests.support.seen import state_of

BLOCK, BLOCKS = 100_000, 50
"""Characters of a message, and how many there are: more than fits between a server and a client that does not read."""
DEAF = 20
GRACE = "0.5"
ROOM_MB = 50.0
"""What the server's memory may grow by while DEAF clients leave all that is in the log unread."""


@pytest.fixture
async def impatient(data_dir: Path) -> AsyncIterator[Server]:
    settings = {"OHS_LIMITS__SLOW_CLIENT_GRACE": GRACE, "OHS_LIMITS__MESSAGES_PER_SECOND": "1000"}
    async with running(data_dir, settings) as ready:
        yield ready


def deaf_client(port: int, sid: str) -> socket.socket:
    """A connected client that reads nothing from here on."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", port))
    ask = (
        f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    connection.sendall(ask.encode())
    connection.recv(4096)
    connection.sendall(_frame("40" + json.dumps({"protocol": 2, "conversation_id": sid, "after": -1})))
    return connection


def _frame(text: str) -> bytes:
    mask = os.urandom(4)
    data = text.encode()
    length = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
    return b"\x81" + length + mask + bytes(byte ^ mask[place % 4] for place, byte in enumerate(data))


async def test_all_see_the_same_and_who_never_reads_is_cut_and_costs_little(impatient: Server) -> None:
    async with Guests(impatient.url) as guests:
        sid = await guests.rest.create()
        one, two = guests.protocol2(sid), guests.protocol2(sid)
        await one.connect()
        await two.connect()
        for number in range(BLOCKS):
            await _said_and_done(one, f"{number} " + "x" * BLOCK)
        before = impatient.memory()
        with ExitStack() as stack:
            deaf = [stack.enter_context(closing(deaf_client(impatient.port, sid))) for _ in range(DEAF)]
            for number in range(20):
                await _said_and_done(one, f"$ echo {number}")
            grown = impatient.memory() - before
            for connection in deaf:
                assert await _cut(connection)
        assert grown < ROOM_MB, f"the server grew by {grown:.0f} MB"
        await two.until_id(one.last)
        assert one.events == two.events
        assert not one.faults + two.faults
        late = guests.protocol2(sid)
        await late.connect()
        await late.until_id(one.last)
        assert late.events == one.events


async def _said_and_done(client: Protocol2Client, text: str) -> None:
    said = await client.say(text)
    await client.until_state("awaiting_user_input", after=said)


async def _cut(deaf: socket.socket) -> bool:
    """Whether the server has ended the connection, found out by reading what it left behind."""
    deaf.setblocking(False)
    async with asyncio.timeout(20):
        while True:
            try:
                if not await asyncio.get_running_loop().sock_recv(deaf, 1 << 20):
                    return True
            except ConnectionError:
                return True


async def test_an_operator_sees_every_state_of_a_session_in_order(server: Server, guests: Guests) -> None:
    operator = guests.operator()
    await operator.connect()
    await operator.until(lambda: bool(operator.overviews))
    sid = await guests.rest.create()
    client = guests.protocol2(sid)
    await client.connect()
    said = await client.say("$ true")
    await client.until_state("awaiting_user_input", after=said)
    await operator.until(lambda: operator.states_of(sid)[-2:] == ["Running", "Ready"])
    assert (await guests.rest.ask("POST", f"/api/conversations/{sid}/stop"))[0] == 200
    await operator.until(lambda: operator.states_of(sid)[-1] == "Closed")
    setting_up = ["Created", "Initializing", "RuntimeSetup", "AgentSetup", "MemorySetup", "ControllerSetup"]
    assert operator.states_of(sid) == [*setting_up, "Ready", "Running", "Ready", "Closing", "Closed"]
    numbers = [change["number"] for change in operator.changes]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    told = [change["agent_state"] for change in operator.changes if change["conversation_id"] == sid]
    stored: list[Any] = [state_of(event) for event in await guests.rest.events(sid) if state_of(event)]
    assert list(dict.fromkeys(told)) == list(dict.fromkeys(stored))
