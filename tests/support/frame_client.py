"""A websocket client that sends frames by hand: parts of messages, and what no library sends."""

import asyncio
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlencode

CONTINUATION, TEXT, CLOSE = 0, 1, 8
FINAL, COMPRESSED = 0x80, 0x40
_MASK = 0x80
_NO_MASK = b"\0\0\0\0"
_CUT = (ConnectionError, asyncio.IncompleteReadError)


@dataclass(frozen=True)
class ClosedWith:
    """How the server ended the connection; without a close frame the code is 1006."""

    code: int
    reason: str


def frame(content: bytes, head: int = TEXT | FINAL, *, more: int = 0) -> bytes:
    """A frame's beginning: it announces `more` bytes than `content`."""
    length = len(content) + more
    if length < 126:
        size = struct.pack("!B", _MASK | length)
    elif length < 1 << 16:
        size = struct.pack("!BH", _MASK | 126, length)
    else:
        size = struct.pack("!BQ", _MASK | 127, length)
    return bytes([head]) + size + _NO_MASK + content


class FrameClient:
    """One connection to a server's `/socket.io/`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.answer = ""
        """The server's answer to the handshake."""
        self._reader = reader
        self._writer = writer

    async def begin(self, query: Mapping[str, str], headers: Mapping[str, str]) -> None:
        asked = {
            "Host": "localhost",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
            **headers,
        }
        path = f"/socket.io/?{urlencode({'EIO': '4', 'transport': 'websocket', **query})}"
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in asked.items())]
        await self.send("\r\n".join([*lines, "", ""]).encode())
        self.answer = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        await self.next()

    async def send(self, data: bytes) -> None:
        """Raises ConnectionError once the server has cut."""
        self._writer.write(data)
        await self._writer.drain()

    async def say(self, text: str) -> None:
        await self.send(frame(text.encode()))

    async def next(self) -> str | ClosedWith:
        """The next text, pings left out, or the end."""
        try:
            while True:
                head, length = await self._reader.readexactly(2)
                if length == 126:
                    (length,) = struct.unpack("!H", await self._reader.readexactly(2))
                elif length == 127:
                    (length,) = struct.unpack("!Q", await self._reader.readexactly(8))
                content = await self._reader.readexactly(length)
                if head == CLOSE | FINAL:
                    return ClosedWith(int.from_bytes(content[:2]), content[2:].decode())
                if head == TEXT | FINAL and content != b"2":
                    return content.decode()
        except _CUT:
            return ClosedWith(1006, "")

    async def until(self, beginning: str) -> str:
        """The next text that begins so."""
        while not (said := await self.next_text()).startswith(beginning):
            pass
        return said

    async def next_text(self) -> str:
        said = await self.next()
        assert isinstance(said, str), said
        return said

    async def end(self) -> ClosedWith:
        """How the server ends the connection."""
        while isinstance(said := await self.next(), str):
            pass
        return said


@asynccontextmanager
async def frame_client(
    port: int, query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> AsyncIterator[FrameClient]:
    """Connected, and greeted by engine.io."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        client = FrameClient(reader, writer)
        async with asyncio.timeout(20):
            await client.begin(query or {}, headers or {})
        yield client
    finally:
        writer.transport.abort()
