"""A client's websocket: hands engine.io the frames that it can read, and writes packets straight to the transport."""

import asyncio
import math
import struct
from collections.abc import Sequence
from typing import Any

import structlog
from aiohttp import web
from engineio import exceptions
from engineio.packet import CLOSE, NOOP, OPEN, PING, PONG, UPGRADE, Packet

from openhands_sessions.server.sockets.strict_frames import announcing, readable

log = structlog.get_logger(__name__)

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
        self._socket = socket
        self._writer = request.writer
        self._transport = request.transport
        self._writing: asyncio.Task[None] | None = None

    def put_nowait(self, item: Packet | None) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return  # the client has gone
        if item is not None and self._writing is None and transport.get_write_buffer_size() <= WRITABLE:
            transport.write(frame_of(item))
            return
        super().put_nowait(item)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(transport), name="slow client")

    def put_all(self, packets: Sequence[Packet]) -> None:
        """As `put_nowait` for each, in one write where the client reads."""
        transport = self._transport
        free = self._writing is None and transport is not None and transport.get_write_buffer_size() <= WRITABLE
        if transport is not None and free and not transport.is_closing():
            transport.write(b"".join([frame_of(packet) for packet in packets]))
        else:
            for packet in packets:
                self.put_nowait(packet)

    async def _write(self, transport: asyncio.WriteTransport) -> None:
        try:
            while not self.empty():
                item = self.get_nowait()
                try:
                    if item is not None:
                        await self._writer.drain()
                        if transport.is_closing():
                            return  # the client has gone
                        transport.write(frame_of(item))
                finally:
                    self.task_done()
                if item is None:
                    await self._socket.close()
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


class ClientWebSocket:
    """What engine.io serves websocket requests with, in place of its own: no task and no queue stand between a packet
    and the transport, and one task reads."""

    def __init__(self, handler: Any, server: Any) -> None:
        """`handler` is the method of engine.io's socket that would read and write; `server` is engine.io's."""
        self._engine: Any = handler.__self__
        self._server = server

    async def __call__(self, environ: dict[str, Any]) -> web.WebSocketResponse:
        request: web.Request = environ["aiohttp.request"]
        socket = web.WebSocketResponse(max_msg_size=self._server.max_http_buffer_size, compress=False)
        await socket.prepare(request)
        if not await self._entered(socket):
            return socket
        queue, before = WebSocketQueue(socket, request), self._engine.queue
        self._engine.queue = queue
        while not before.empty():
            queue.put_nowait(before.get_nowait())
            before.task_done()
        try:
            await self._read(socket, request)
        finally:
            await queue.end()
            await self._engine.close(wait=False, abort=True, reason=self._server.reason.TRANSPORT_CLOSE)
        return socket

    async def _entered(self, socket: web.WebSocketResponse) -> bool:
        """Whether this is the client's connection: at once, or in place of polling after the probe went well."""
        engine = self._engine
        if not engine.connected:
            engine.connected = engine.upgraded = True
            return True
        engine.upgrading = True
        try:
            probe = await self._packet(socket)
            if probe is None or (probe.packet_type, probe.data) != (PING, "probe"):
                return False
            await socket.send_str(Packet(PONG, data="probe").encode())
            await engine.queue.put(Packet(NOOP))  # ends the poll that waits
            done = await self._packet(socket)
            engine.upgraded = done is not None and done.packet_type == UPGRADE
            return bool(engine.upgraded)
        finally:
            engine.upgrading = False

    async def _read(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        """Until the client goes, says goodbye, or is silent for longer than its pings allow."""
        with Silence(self._server.ping_interval + self._server.ping_timeout, request.transport) as silence:
            while (packet := await self._packet(socket)) is not None:
                silence.suspend()
                if not await self._received(packet):
                    return
                silence.begin()

    async def _received(self, packet: Packet) -> bool:
        """Hand it to engine.io. False where the connection is over."""
        try:
            await self._engine.receive(packet)
        except exceptions.UnknownPacketError:
            pass
        except exceptions.SocketIsClosedError:
            return False
        except Exception:
            log.exception("a packet could not be handled")
        return bool(packet.packet_type != CLOSE)

    async def _packet(self, socket: web.WebSocketResponse) -> Packet | None:
        """The next one; None where the client has gone."""
        message = await socket.receive()
        match message.data:
            case str() as text:
                return Packet(encoded_packet=readable(text))
            case bytes() as content:
                return Packet(encoded_packet=content)
            case _:
                return None
