"""One connection's way out: bounded in bytes, cut when the client does not read."""

import asyncio
from collections.abc import Sequence
from typing import Any

import socketio
from engineio.packet import Packet

from openhands_sessions.server.packets import size
from openhands_sessions.server.sockets.websocket import WebSocketQueue

BUDGET = 128 * 1024
"""Characters that may wait for one client before its cursor waits too."""

END_GRACE = 1.0


class SlowClient(Exception):
    """The client has not read for too long."""


class Outbox:
    """Puts packets straight on the connection's engine.io queue. `grace` is in seconds."""

    def __init__(
        self, sio: socketio.AsyncServer, sid: str, namespace: str, environ: dict[str, Any], grace: float
    ) -> None:
        # There is no public way to engine.io's queue; an emit would encode an event anew for each client.
        self._engine: Any = sio.eio.sockets[sio.manager.eio_sid_from_sid(sid, namespace)]
        self._transport = environ["aiohttp.request"].transport
        self._writer = environ["aiohttp.request"].writer
        self._grace = grace
        self._waiting = 0

    @property
    def _queue(self) -> "asyncio.Queue[Packet | None]":
        """Another one once a client that polls has a websocket."""
        queue: asyncio.Queue[Packet | None] = self._engine.queue
        return queue

    @property
    def idle(self) -> bool:
        """Whether nothing waits for the client, but in the system's own buffers."""
        return self._waiting == 0 and self._queue.empty()

    def put(self, packets: Sequence[Packet]) -> None:
        """Queue without waiting: for what is bounded otherwise."""
        queue = self._queue
        if isinstance(queue, WebSocketQueue):
            queue.put_all(packets)
        else:
            for packet in packets:
                queue.put_nowait(packet)
        self._waiting = 0 if queue.empty() else self._waiting + size(packets)

    async def send(self, packets: Sequence[Packet]) -> None:
        """Queue, and wait for the client where too much waits for it. Raises SlowClient after the grace time."""
        self.put(packets)
        if self._waiting > BUDGET:
            await self.drained()

    async def drained(self) -> None:
        """Wait until the client has taken what was queued, but for what fits into the system's own buffers. Raises
        SlowClient after the grace time."""
        try:
            async with asyncio.timeout(self._grace):
                await self._queue.join()
                await self._writer.drain()
        except TimeoutError as error:
            raise SlowClient from error
        self._waiting = 0

    def close(self) -> None:
        """End the transport behind what is queued, without a Socket.IO disconnect: the client reconnects."""
        self._queue.put_nowait(None)

    async def end(self) -> None:
        """Close, and abort a client that does not even read that."""
        self.close()
        try:
            async with asyncio.timeout(END_GRACE):
                await self._queue.join()
        except TimeoutError:
            self.abort()

    def abort(self) -> None:
        """End the transport at once."""
        abort(self._transport)


def hang_up(sio: socketio.AsyncServer) -> None:
    """End every connection that is left without a Socket.IO disconnect, so that clients come back; by force where one
    does not go within END_GRACE seconds."""
    loop = asyncio.get_running_loop()
    for engine_sid, socket in list(sio.eio.sockets.items()):
        socket.queue.put_nowait(None)
        if (environ := sio.environ.get(engine_sid)) is not None:
            loop.call_later(END_GRACE, abort, environ["aiohttp.request"].transport)


def abort(transport: asyncio.WriteTransport | None) -> None:
    """End a connection at once; nothing where it is gone already."""
    if transport is not None:
        transport.abort()
