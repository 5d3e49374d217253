"""A raw Socket.IO client: frames in, frames out, as little as possible in between."""

import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import aiohttp


class RawClient:
    """One websocket that speaks just enough of engine.io and Socket.IO."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def send(self, name: str, data: object) -> None:
        await self._socket.send_str("42" + json.dumps([name, data]))

    async def frame(self) -> str:
        """The next event frame; pings are answered on the way."""
        while True:
            text: str = await self._socket.receive_str()
            if text.startswith("42"):
                return text
            if text == "2":
                await self._socket.send_str("3")

    async def until(self, mark: str) -> int:
        """Read frames until one holds `mark`; how many there were."""
        count = 1
        while mark not in await self.frame():
            count += 1
        return count

    async def round_trip(self, name: str, data: object, mark: str) -> float:
        """Seconds from sending to the frame that holds `mark`."""
        begun = time.perf_counter()
        await self.send(name, data)
        await self.until(mark)
        return time.perf_counter() - begun


@asynccontextmanager
async def connected(
    http: aiohttp.ClientSession, port: int, query: Mapping[str, str], auth: Mapping[str, Any] | None = None
) -> AsyncIterator[RawClient]:
    """A client whose connection the server has accepted."""
    asked = urlencode({"EIO": "4", "transport": "websocket", **query})
    url = f"http://127.0.0.1:{port}/socket.io/?{asked}"
    async with http.ws_connect(url, max_msg_size=0, autoping=True) as socket:
        await socket.receive_str()
        await socket.send_str("40" + (json.dumps(auth) if auth else ""))
        while True:
            text = await socket.receive_str()
            if text.startswith("40"):
                break
            if text.startswith("44"):
                raise ConnectionError(text)
        yield RawClient(socket)
