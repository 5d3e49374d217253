"""Messages that do not come to their end: how much is held of them, and who gives way."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support.frame_client import ClosedWith, FrameClient, frame, frame_client
from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients

LIMIT = 200_000
REFUSED = "a message was refused"
"""In a line of the log."""
HELD = 150_000
"""What a client sends of a message."""
REST = 10_000
"""What it owes."""
MEGABYTE = 1 << 20
FULL = "too many unfinished messages are held for all callers; try again"
COMMAND = b'427["oh_user_action",{"action":"message","args":{"content":"%s"}}]' % (b"x" * (HELD + REST - 67))


@pytest.fixture
async def narrow(data_dir: Path) -> AsyncIterator[Server]:
    """A server that holds three unfinished messages."""
    limits = {"OHS_LIMITS__MESSAGE_BYTES": str(LIMIT), "OHS_LIMITS__UNFINISHED_BYTES": str(3 * HELD + HELD // 2)}
    async with running_server(data_dir, limits) as server:
        yield server


async def begun(stack: AsyncExitStack, port: int, sid: str) -> FrameClient:
    """A client in the middle of a message."""
    client = await stack.enter_async_context(frame_client(port))
    await client.say(f"40{json.dumps({'protocol': 2, 'conversation_id': sid})}")
    await client.until("40")
    await client.send(frame(COMMAND[:HELD], more=len(COMMAND) - HELD))
    return client


async def test_the_oldest_unfinished_message_gives_way_and_all_others_are_taken(narrow: Server) -> None:
    async with AsyncExitStack() as stack, Clients(narrow.url) as clients, asyncio.timeout(30):
        sid = await clients.rest.create()
        slow = [await begun(stack, narrow.port, sid) for _ in range(3)]
        later = [await begun(stack, narrow.port, sid) for _ in range(2)]
        assert [await client.end() for client in slow[:2]] == [ClosedWith(1013, FULL)] * 2
        for client in (slow[2], *later):
            await client.send(COMMAND[HELD:])
            assert '"ok":true' in await client.until("437[")
        fresh = clients.protocol2(sid)
        await fresh.connect()
        assert await fresh.say("still here")
    lines = await narrow.logged(REFUSED, 2)
    assert [line["cause"] for line in lines] == ["too many unfinished messages"] * 2


async def test_messages_that_are_finished_are_held_against_nobody(narrow: Server) -> None:
    async with AsyncExitStack() as stack, Clients(narrow.url) as clients, asyncio.timeout(30):
        client = await begun(stack, narrow.port, await clients.rest.create())
        await client.send(COMMAND[HELD:])
        assert '"ok":true' in await client.until("437[")
        for _ in range(10):
            await client.send(frame(COMMAND))
            assert '"ok":true' in await client.until("437[")
    assert "a message was refused" not in narrow.log


@pytest.mark.parametrize("path", ["/api/conversations/{sid}/events", "/socket.io/?EIO=4&transport=polling&sid={poll}"])
async def test_bodies_of_requests_count_and_give_way_in_words(narrow: Server, path: str) -> None:
    async with AsyncExitStack() as stack, Clients(narrow.url) as clients, asyncio.timeout(30):
        sid = await clients.rest.create()
        async with clients.rest.http.get(f"{narrow.url}/socket.io/?EIO=4&transport=polling") as opened:
            poll = json.loads((await opened.text())[1:])["sid"]
        reader, writer = await asyncio.open_connection("127.0.0.1", narrow.port)
        stack.callback(writer.transport.abort)
        head = f"POST {path.format(sid=sid, poll=poll)} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {LIMIT}\r\n\r\n"
        writer.write(head.encode() + bytes(HELD))
        first = await begun(stack, narrow.port, sid)
        later = [await begun(stack, narrow.port, sid) for _ in range(2)]
        answer = (await reader.readuntil(b"}")).decode()
        assert answer.startswith("HTTP/1.1 503")
        assert json.loads(answer.partition("\r\n\r\n")[2])["message"] == FULL
        for client in (first, *later):
            await client.send(COMMAND[HELD:])
            assert '"ok":true' in await client.until("437[")


async def test_what_was_held_of_unfinished_messages_is_given_back(data_dir: Path) -> None:
    limits = {"OHS_LIMITS__UNFINISHED_BYTES": str(110 * MEGABYTE)}
    async with running_server(data_dir, limits) as server, Clients(server.url) as clients, asyncio.timeout(60):
        sid = await clients.rest.create()
        before = server.memory()
        for _ in range(4):
            async with AsyncExitStack() as stack:
                for _ in range(5):
                    client = await begun(stack, server.port, sid)
                    await client.send(COMMAND[HELD:])
                    await client.until("437[")
                    await client.send(frame(b"4", more=20 * MEGABYTE))
                    for _ in range(19):
                        await client.send(bytes(MEGABYTE))
            await clients.rest.describe(sid)
        print(f"memory {before:.0f} MB, {server.memory() - before:.0f} MB more")
        assert server.memory() - before < 150, "400 MB were sent"
        assert "a message was refused" not in server.log, "what is gone counts no more"
