"""A large message that takes longer than pings allow keeps its connection while it comes."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import socketio
from aiohttp import web

from openhands_sessions.adapters.auths.open import OpenAuth
from openhands_sessions.protocol.socket_messages import SocketJson
from openhands_sessions.server.forwarding import TrustedProxies
from openhands_sessions.server.identification import Identification
from openhands_sessions.server.inbound import LIMITS, InboundBudget, MessageLimits
from openhands_sessions.server.pending_connections import PendingConnections, PendingLimits
from openhands_sessions.server.sockets.client_websocket import LEAST
from openhands_sessions.server.sockets.strict_server import StrictServer
from tests.support.frame_client import ClosedWith, FrameClient, frame, frame_client

PING_INTERVAL, PING_TIMEOUT = 0.1, 0.5
PIECES = 14
"""One comes well before a ping would be missed; all of them together take twice as long."""


class Echo(socketio.AsyncNamespace):  # type: ignore[misc]  # python-socketio has no types
    async def on_measure(self, socket_id: str, text: str) -> int:
        return len(text)


@asynccontextmanager
async def impatient_server() -> AsyncIterator[int]:
    """A server whose pings are short; its port."""
    app = web.Application()
    app[LIMITS] = MessageLimits(1 << 20, InboundBudget(1 << 24))
    server = StrictServer(
        app[LIMITS],
        Identification(OpenAuth()),
        PendingConnections(PendingLimits(), TrustedProxies()),
        1.0,
        async_mode="aiohttp",
        json=SocketJson,
        async_handlers=False,
        ping_interval=PING_INTERVAL,
        ping_timeout=PING_TIMEOUT,
    )
    server.attach(app)
    server.register_namespace(Echo("/"))
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with asyncio.timeout(30):
            yield runner.addresses[0][1]
    finally:
        await server.shutdown()
        await runner.cleanup()


@asynccontextmanager
async def entered() -> AsyncIterator[FrameClient]:
    """A client of such a server."""
    async with impatient_server() as port, frame_client(port) as client:
        await client.say("40")
        await client.until("40")
        yield client


async def test_it_is_taken_at_the_end_although_no_pong_came_meanwhile() -> None:
    piece = 4 * LEAST
    text = json.dumps(["measure", "x" * (PIECES * piece)]).encode()
    async with entered() as client:
        await client.send(frame(b"421", more=len(text)))
        for number in range(0, len(text), piece):
            await client.send(text[number : number + piece])
            await asyncio.sleep(PING_TIMEOUT / 5)
        assert await client.until("431[") == f"431[{PIECES * piece}]"


async def test_one_that_comes_too_slowly_ends_the_connection() -> None:
    async with entered() as client:
        await client.send(frame(b"421", more=1_000_000) + bytes(5 * LEAST))
        ended = asyncio.create_task(client.end())
        sent = 0
        while not ended.done() and sent < 1_000:
            try:
                await client.send(b"x")
            except ConnectionError:
                break
            await asyncio.wait([ended], timeout=PING_TIMEOUT / 10)
            sent += 1
        assert await ended == ClosedWith(1006, "")
        assert sent < 1_000


async def test_the_body_of_a_client_that_polls_is_taken_at_the_end_too() -> None:
    async def slowly() -> AsyncIterator[bytes]:
        yield b'421["measure","'
        for _ in range(PIECES):
            yield b"x" * LEAST
            await asyncio.sleep(PING_TIMEOUT / 5)
        yield b'"]'

    async with impatient_server() as port, aiohttp.ClientSession() as http:
        address = f"http://127.0.0.1:{port}/socket.io/?EIO=4&transport=polling"
        async with http.get(address) as opened:
            session = f"{address}&sid={json.loads((await opened.text())[1:])['sid']}"
        for body in ("40", slowly()):
            async with http.post(session, data=body) as posted:
                assert posted.status == 200
        heard = ""
        while "431[" not in heard:
            async with http.get(session) as polled:
                assert polled.status == 200
                heard += await polled.text()
        assert f"431[{PIECES * LEAST}]" in heard
