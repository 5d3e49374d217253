"""A client's websocket on its way out: packets are written straight to the transport, while the client is there."""

import asyncio
import math
import struct
from collections.abc import Sequence

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from engineio.packet import OPEN, Packet

from openhands_sessions.server.sockets.strict_frames import announcing

WRITABLE = 32 * 1024
"""Bytes that may wait in the transport when another packet is written at once."""
_TEXT, _BINARY = 0x81, 0x82


class EventPacket(Packet):  # type: ignore[misc]  # engineio has no types
    """A packet for many clients: its websocket frame is made once."""

    frame: bytes | None = None


class WebSocketQueue(asyncio.Queue[Packet | None]):
    """Engine.io's queue of a connection, over a websocket. A packet is written at once while the client reads; what it
    does not take waits here, and is written in order by a task that lives as long as there is any. None ends the
    connection after what was put before."""

    def __init__(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        super().__init__()
        self._socket: web.WebSocketResponse | None = socket
        self._writer: AbstractStreamWriter | None = request.writer
        self._transport = request.transport
        self._writing: asyncio.Task[None] | None = None

    def leave(self) -> None:
        """Write nothing more, and drop what is put."""
        self._transport = None

    def let_go(self) -> None:
        """The connection is over: keep nothing of it, as engine.io keeps this for some seconds."""
        self._transport = self._socket = self._writer = None

    def put_nowait(self, item: Packet | None) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return  # the client has gone
        if item is not None and self._writing is None and transport.get_write_buffer_size() <= WRITABLE:
            transport.write(frame_of(item))
            return
        super().put_nowait(item)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="slow client")

    def put_all(self, packets: Sequence[Packet]) -> None:
        """As `put_nowait` for each, in one write where the client reads."""
        transport = self._transport
        free = self._writing is None and transport is not None and transport.get_write_buffer_size() <= WRITABLE
        if transport is not None and free and not transport.is_closing():
            transport.write(b"".join([frame_of(packet) for packet in packets]))
        else:
            for packet in packets:
                self.put_nowait(packet)

    async def _write(self) -> None:
        writer, socket = self._writer, self._socket
        try:
            while not self.empty():
                item = self.get_nowait()
                try:
                    if item is not None and writer is not None:
                        await writer.drain()
                        transport = self._transport
                        if transport is None or transport.is_closing():
                            return  # the client has gone
                        transport.write(frame_of(item))
                finally:
                    self.task_done()
                if item is None and self._transport is not None and socket is not None:
                    await socket.close()
                    return
        except ConnectionError:
            pass  # the client has gone
        finally:
            self._writing = None
            while not self.empty():
                self.get_nowait()
                self.task_done()

    async def end(self) -> None:
        """Close the websocket after what waits."""
        self.put_nowait(None)
        if self._writing is not None:
            await asyncio.wait([self._writing])


def frame_of(packet: Packet) -> bytes:
    """The unmasked, uncompressed websocket frame of a packet (RFC 6455, 5.2)."""
    if isinstance(packet, EventPacket) and packet.frame is not None:
        return packet.frame
    encoded = packet.encode()
    if packet.packet_type == OPEN:
        encoded = announcing(encoded)
    content = encoded.encode() if isinstance(encoded, str) else encoded
    kind, length = (_TEXT if isinstance(encoded, str) else _BINARY), len(content)
    if length < 126:
        head = struct.pack("!BB", kind, length)
    elif length < 1 << 16:
        head = struct.pack("!BBH", kind, 126, length)
    else:
        head = struct.pack("!BBQ", kind, 127, length)
    frame = head + content
    if isinstance(packet, EventPacket):
        packet.frame = frame
    return frame


class Silence:
    """Ends a connection that is silent for `limit` seconds. One timer serves many packets: it looks at when the last
    one came."""

    def __init__(self, limit: float, transport: asyncio.WriteTransport | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._limit = limit
        self._transport = transport
        self._since = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> "Silence":
        self._check()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def begin(self) -> None:
        """The client's turn to speak."""
        self._since = self._loop.time()

    def heard(self) -> None:
        """It is speaking still, if it is its turn."""
        if self._since != math.inf:
            self._since = self._loop.time()

    def suspend(self) -> None:
        """It has spoken, and is not heard again until that is done."""
        self._since = math.inf

    def _check(self) -> None:
        spoken = min(self._since, self._loop.time())
        if self._loop.time() >= spoken + self._limit:
            if self._transport is not None:
                self._transport.abort()
        else:
            self._timer = self._loop.call_at(spoken + self._limit, self._check)
