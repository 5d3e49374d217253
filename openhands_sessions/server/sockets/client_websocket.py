"""A client's websocket: hands engine.io what it can read, and ends with a reason for what is too large."""

import asyncio
import struct
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog
from aiohttp import WSCloseCode, WSMsgType, web
from engineio import exceptions
from engineio.packet import CLOSE, NOOP, PING, PONG, UPGRADE, Packet

from openhands_sessions.server.inbound import FULL, READ, MessageLimits, too_large
from openhands_sessions.server.sockets.counted_stream import MUCH, CountedStream
from openhands_sessions.server.sockets.departures import Departures
from openhands_sessions.server.sockets.known_clients import KnownClients
from openhands_sessions.server.sockets.strict_frames import readable
from openhands_sessions.server.sockets.websocket import Silence, WebSocketQueue

log = structlog.get_logger(__name__)

LINGER = 5.0
"""Seconds in which a client may take in why it is cut, and what it still sends is dropped: a connection that ends with
unread bytes is reset, and the reason may be lost."""
LEAST = 16 * 1024
"""Bytes of a large message that must come within half the time for a pong, or its client counts as silent."""


class ReasonedWebSocket(web.WebSocketResponse):
    """Has `refuse` end what is too large for aiohttp, which would close without a reason."""

    def __init__(self, refuse: Callable[[], Awaitable[None]], most: int) -> None:
        super().__init__(max_msg_size=most + 1, compress=False)  # aiohttp refuses what is as large as it is told
        self._refuse = refuse

    def let_go(self) -> None:
        """It is over. What ended it would keep it in memory, through the frames of its traceback."""
        self._refuse = _nothing
        problem = self.exception()
        while problem is not None:
            problem.__traceback__ = None
            problem = problem.__context__

    async def close(self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True) -> bool:
        if code == WSCloseCode.MESSAGE_TOO_BIG:
            await self._refuse()
        return await super().close(code=code, message=message, drain=drain)


async def _nothing() -> None:
    pass


class ClientWebSocket:
    """What engine.io serves a websocket request with, in place of its own: no task and no queue stand between a packet
    and the transport, and one task reads."""

    def __init__(
        self, engine: Any, request: web.Request, limits: MessageLimits, known: KnownClients, departures: Departures
    ) -> None:
        """`engine` is engine.io's socket. Raises ConnectionError where the client has gone."""
        if (transport := request.transport) is None:
            raise ConnectionResetError("the client has gone")
        self._engine = engine
        self._request = request
        self._transport = transport
        self._limits = limits
        self._known = known
        self._socket = ReasonedWebSocket(self._refuse_size, READ * limits.message_bytes)
        self._queue = WebSocketQueue(self._socket, request)
        self._pong_within: float = engine.server.ping_timeout
        self._silence = Silence(engine.server.ping_interval + self._pong_within, transport)
        self._stream = CountedStream(transport, limits.budget, departures, much=self._look_at, give_up=self._give_up)
        self._watching: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None

    async def serve(self) -> web.WebSocketResponse:
        """Until the connection is over."""
        try:
            await self._socket.prepare(self._request)
            if await self._entered():
                await self._run()
        finally:
            self._stream.close()
            if self._watching is not None:
                self._watching.cancel()
            if self._ending is not None:
                await asyncio.wait([self._ending])
            # Nothing refers to this object any more, so that a connection is freed when it is over, and not when
            # Python next looks for cycles: with thousands that come and go, that would be late and long.
            self._socket.let_go()
            self._queue.let_go()
        return self._socket

    async def _entered(self) -> bool:
        """Whether this is the client's connection: at once, or in place of polling after the probe went well."""
        engine = self._engine
        if not engine.connected:
            engine.connected = engine.upgraded = True
            return True
        engine.upgrading = True
        try:
            probe = await self._packet()
            if probe is None or (probe.packet_type, probe.data) != (PING, "probe"):
                return False
            await self._socket.send_str(Packet(PONG, data="probe").encode())
            await engine.queue.put(Packet(NOOP))  # ends the poll that waits
            done = await self._packet()
            engine.upgraded = done is not None and done.packet_type == UPGRADE
            return bool(engine.upgraded)
        finally:
            engine.upgrading = False

    async def _run(self) -> None:
        self._take_over()
        try:
            with self._silence:
                await self._read()
        finally:
            await self._queue.end()
            await self._engine.close(wait=False, abort=True, reason=self._engine.server.reason.TRANSPORT_CLOSE)

    def _take_over(self) -> None:
        """What was put for the client so far goes out first."""
        before, self._engine.queue = self._engine.queue, self._queue
        while not before.empty():
            self._queue.put_nowait(before.get_nowait())
            before.task_done()

    async def _read(self) -> None:
        """Until the client goes, says goodbye, or is silent for longer than its pings allow."""
        while (packet := await self._packet()) is not None:
            self._silence.suspend()
            if not await self._received(packet):
                return
            del packet  # it may be large, and the next one may be long in coming
            self._silence.begin()

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

    async def _packet(self) -> Packet | None:
        """The next one; None where the client has gone."""
        before = self._stream.received
        message = await self._socket.receive()
        match message.data:
            case str() as text:
                self._stream.taken(len(text) if text.isascii() else len(text.encode()), before)
                return Packet(encoded_packet=readable(text))
            case bytes() as content:
                self._stream.taken(len(content), before)
                return Packet(encoded_packet=content)
            case _:
                return None

    def _look_at(self) -> None:
        """A piece of a large message has come."""
        known = self._engine in self._known
        if not known and self._stream.held > READ * self._limits.taken(known=False):
            self._end(self._refuse_size())
        elif self._watching is None:
            self._watch()

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        self._watching = loop.call_later(self._pong_within / 2, self._look_back, self._stream.received)

    def _look_back(self, before: int) -> None:
        """A pong stands behind the large message that comes: while enough of it comes, the client is not silent."""
        self._watching = None
        if self._stream.held <= MUCH:
            return
        if self._stream.received - before >= LEAST:
            self._silence.heard()
            self._engine.schedule_ping()
        self._watch()

    def _give_up(self) -> None:
        """What this one holds is needed for others."""
        if self._ending is None and not self._stream.dropping:
            self._limits.note(self._request, "too many unfinished messages")
            self._end(self._refuse(WSCloseCode.TRY_AGAIN_LATER, FULL, linger=0))
        else:
            self._transport.abort()

    def _end(self, refusal: Coroutine[Any, Any, None]) -> None:
        self._stream.drop()
        self._ending = asyncio.create_task(refusal, name="refused client")

    async def _refuse_size(self) -> None:
        limit = self._limits.taken(known=self._engine in self._known)
        self._limits.note(self._request, "too large", limit=limit)
        await self._refuse(WSCloseCode.MESSAGE_TOO_BIG, too_large(limit).message, linger=LINGER)

    async def _refuse(self, code: WSCloseCode, reason: str, linger: float) -> None:
        """Say why, hear no more, and go when the client has gone."""
        self._stream.drop()
        self._queue.leave()
        try:
            await self._socket.send_frame(struct.pack("!H", code) + reason.encode(), WSMsgType.CLOSE)
            if self._transport.can_write_eof():
                self._transport.write_eof()
            async with asyncio.timeout(linger):
                await self._stream.gone.wait()
        except (ConnectionError, TimeoutError):
            self._transport.abort()
