"""A client that connects and reads nothing until the test tells it to."""

import json
import socket
from urllib.parse import urlencode

import aiohttp

from tests.support.event_summaries import Event, shared

_RECEIVE_BUFFER = 4096
"""Bytes that the kernel takes in for it: little, so that the server feels it soon."""


class StalledClient:
    """Speaks just enough of engine.io and Socket.IO, to a conversation or, without one, to the list. The test that
    makes it closes it."""

    def __init__(self, url: str, sid: str | None) -> None:
        self._url = url
        self._sid = sid
        connector = aiohttp.TCPConnector(socket_factory=_small_socket)
        self._http = aiohttp.ClientSession(connector=connector)
        self._socket: aiohttp.ClientWebSocketResponse | None = None

    async def connect(self) -> None:
        """Connect by protocol 2. Returns when the server has accepted, and reads nothing more."""
        asked = urlencode({"EIO": "4", "transport": "websocket"})
        self._socket = await self._http.ws_connect(f"{self._url}/socket.io/?{asked}", max_msg_size=0)
        await self._socket.receive_str()
        auth = {"protocol": 2} | ({} if self._sid is None else {"conversation_id": self._sid, "after": -1})
        await self._socket.send_str("40" + json.dumps(auth))
        while not (await self._socket.receive_str()).startswith("40"):
            pass

    async def flood(self, frame: str, count: int) -> None:
        """Send a frame over and over, as fast as the server takes it. Raises ConnectionError once it is cut."""
        assert self._socket is not None
        for _ in range(count):
            await self._socket.send_str(frame)

    async def rest(self) -> list[Event]:
        """Read on to the end of the connection; the events."""
        assert self._socket is not None
        events: list[Event] = []
        async for message in self._socket:
            if message.type is not aiohttp.WSMsgType.TEXT or not message.data.startswith("42"):
                continue
            name, value = json.loads(message.data[2:])
            if name == "oh_events":
                events += map(shared, value)
            elif name == "oh_event" and "id" in value and "status_update" not in value:
                events.append(shared(value))
        return events

    async def close(self) -> None:
        if self._socket is not None:
            await self._socket.close()
        await self._http.close()


def _small_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    return made
