"""A connection that is over leaves nothing for the garbage collector: its memory is free at once."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from openhands_sessions.config.config import Config
from openhands_sessions.server.sockets.client_websocket import ClientWebSocket, ReasonedWebSocket
from openhands_sessions.server.sockets.counted_stream import CountedStream
from openhands_sessions.server.web_session import WebSession
from tests.support.frame_client import CLOSE, FINAL, FrameClient, frame, frame_client
from tests.support.in_process_server import InProcessServer, in_process_server
from tests.support.watched_objects import WatchedObjects, no_collector

PARTS = (WebSession, ClientWebSocket, ReasonedWebSocket, CountedStream)
ENTER = "40" + json.dumps({"protocol": 2, "conversation_id": "talk", "create": True})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("closed")


@pytest.fixture
async def server(folder: Path) -> AsyncIterator[InProcessServer]:
    async with in_process_server(Config(data_dir=folder)) as ready:
        yield ready


def watched() -> WatchedObjects:
    """The parts of the one connection that there is."""
    found = WatchedObjects(*PARTS)
    assert len(found) == len(PARTS)
    return found


async def vanish(client: FrameClient) -> None:
    """Without a word: the test closes the socket."""


async def close_websocket(client: FrameClient) -> None:
    await client.send(frame(b"\x03\xe8", CLOSE | FINAL))
    await client.end()


async def leave_namespace(client: FrameClient) -> None:
    await client.say("41")
    await close_websocket(client)


async def close_engine(client: FrameClient) -> None:
    await client.say("1")
    await client.end()


async def send_too_much(client: FrameClient) -> None:
    await client.send(frame(b"42", more=1 << 30))
    assert (await client.end()).code == 1009


async def test_a_connection_is_freed_however_it_ends(server: InProcessServer) -> None:
    for end in (vanish, close_websocket, leave_namespace, close_engine, send_too_much):
        with no_collector():
            async with frame_client(server.port) as client:
                await client.say(ENTER)
                await client.until('42["hello"')
                parts = watched()
                await end(client)
            try:
                await parts.freed()
            except AssertionError as error:
                error.add_note(f"it ended with: {end.__name__}")
                raise


async def test_a_connection_that_began_with_polling_is_freed(server: InProcessServer) -> None:
    url = f"{server.url}/socket.io/?EIO=4&transport="
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{url}polling") as answer:
            sid = json.loads((await answer.text())[1:])["sid"]
        with no_collector():
            async with http.ws_connect(f"{url}websocket&sid={sid}") as socket:
                await socket.send_str("2probe")
                assert await socket.receive_str() == "3probe"
                await socket.send_str("5")
                await socket.send_str(ENTER)
                while not (await socket.receive_str()).startswith('42["hello"'):
                    pass
                parts = watched()
            await parts.freed()
