"""Many plain TCP connections to a server, from several addresses of loopback: they send what they are told to."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count

from tests.support.frame_client import frame

_SOURCES = [f"127.0.0.{number}" for number in range(2, 22)]
"""One address has 28,000 ports to connect from, and gives each back after a minute."""
_source = count()
HEAD = "GET {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n"
UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
PING = b"\x81\x012"
"""Its frame."""
KEPT = 1_000_000
"""Bytes of what came that are kept."""
WEBSOCKET = "/socket.io/?EIO=4&transport=websocket"


class RawConnection(asyncio.Protocol):
    """One of them."""

    def __init__(self) -> None:
        self.size = 0
        """Bytes that have come."""
        self.received = bytearray()
        """The newest of them."""
        self.gone = asyncio.Event()
        self.answers_pings = False
        """Those of engine.io over a websocket, which then are not in `received`."""
        self._transport: asyncio.Transport | None = None
        self._news = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self.answers_pings and PING in data:
            data = data.replace(PING, b"")
            self.say("3")
        self.size += len(data)
        self.received += data
        del self.received[:-KEPT]
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        self._news.set()

    def send(self, data: bytes) -> None:
        """Nothing where the connection is gone."""
        assert self._transport is not None
        if not self._transport.is_closing():
            self._transport.write(data)

    def ask(self, path: str, more: str = "") -> None:
        self.send(HEAD.format(path=path, more=more).encode())

    def say(self, text: str) -> None:
        """Over a websocket."""
        self.send(frame(text.encode()))

    async def until(self, part: bytes) -> None:
        """Wait for something of what comes. Raises ConnectionError."""
        while part not in self.received:
            if self.gone.is_set():
                raise ConnectionResetError(bytes(self.received[-200:]))
            self._news.clear()
            await self._news.wait()

    async def until_size(self, size: int) -> None:
        """Wait until so many bytes have come. Raises ConnectionError."""
        while self.size < size:
            if self.gone.is_set():
                raise ConnectionResetError(f"{self.size} of {size} bytes")
            self._news.clear()
            await self._news.wait()

    def pause(self) -> None:
        """Read no more."""
        assert self._transport is not None
        self._transport.pause_reading()

    def resume(self) -> None:
        assert self._transport is not None
        self._transport.resume_reading()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def raw_connection(port: int, source: str | None = None) -> RawConnection:
    """Whoever makes one closes it. Raises OSError."""
    here = source or _SOURCES[next(_source) % len(_SOURCES)]
    loop = asyncio.get_running_loop()
    _, made = await loop.create_connection(RawConnection, "127.0.0.1", port, local_addr=(here, 0))
    return made


@asynccontextmanager
async def raw_connections(port: int, number: int, source: str | None = None) -> AsyncIterator[Sequence[RawConnection]]:
    """So many, until the end of the block."""
    made: list[RawConnection] = []
    try:
        for _ in range(number):
            made.append(await raw_connection(port, source))
        yield made
    finally:
        for connection in made:
            connection.close()
