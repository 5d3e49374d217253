"""Engine.io connections that no namespace has let in yet, over a websocket or over many requests."""

import asyncio
from typing import Any

from aiohttp import web

from openhands_sessions.core.errors import AtCapacity
from openhands_sessions.server.forwarding import address_of
from openhands_sessions.server.guarded_connection import CONNECTION, GuardedConnection
from openhands_sessions.server.pending_connections import Deadline, PendingConnections


class PendingSocket:
    """One of them. `engine` is engine.io's socket; `connections` are those over which it sends."""

    def __init__(self, sockets: "PendingSockets", pending: PendingConnections, engine: Any, address: str) -> None:
        self.engine = engine
        self.address = address
        self.counted = False
        self.connections: set[GuardedConnection] = set()
        self.deadline = Deadline(pending, self)
        self._sockets = sockets

    def look(self) -> None:
        self.end()

    def end(self) -> None:
        self._sockets.end(self)


class PendingSockets:
    """Ends each that does not connect to a namespace in time. One that polls counts as a connection of its own: it
    stays while no request of it is open."""

    def __init__(self, pending: PendingConnections) -> None:
        self._pending = pending
        self._sockets: dict[str, PendingSocket] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def request_arrived(self, request: web.Request, *, live: bool) -> None:
        """For a socket, which is `live` if there is one with the `sid` of the query. Raises AtCapacity for the first
        of one that polls, where there is no room."""
        sid = request.query.get("sid")
        if sid is None:
            if request.query.get("transport") != "websocket" and not self._pending.has_room(address_of(request)):
                raise AtCapacity("too many connections that have not authenticated; try again in a moment")
            return
        connection = request.get(CONNECTION)
        if connection is None:
            return
        if (socket := self._sockets.get(sid)) is not None:
            socket.connections.add(connection)
        elif live:  # a namespace has let it in, over another connection
            connection.let_in()

    def begin(self, engine: Any, request: web.Request) -> None:
        """After the handshake. `engine` is engine.io's socket."""
        address = address_of(request)
        socket = self._sockets[engine.sid] = PendingSocket(self, self._pending, engine, address)
        socket.counted = request.query.get("transport") != "websocket" and self._pending.enter(address)
        if (connection := request.get(CONNECTION)) is not None:
            socket.connections.add(connection)
        socket.deadline.run()

    def has_sent(self, sid: str) -> None:
        """A packet, which is being handled."""
        if (socket := self._sockets.get(sid)) is not None:
            socket.deadline.pause()

    def owes(self, sid: str) -> None:
        """The next packet."""
        if (socket := self._sockets.get(sid)) is not None:
            socket.deadline.run()

    def let_in(self, sid: str) -> None:
        """By a namespace."""
        if (socket := self._sockets.get(sid)) is not None:
            for connection in socket.connections:
                connection.let_in()
            self.leave(sid)

    def leave(self, sid: str) -> None:
        """It is gone, or is waited for no longer."""
        if (socket := self._sockets.pop(sid, None)) is not None:
            socket.deadline.end()
            if socket.counted:
                self._pending.leave(socket.address)

    def end(self, socket: PendingSocket) -> None:
        """It has not connected in time."""
        self.leave(socket.engine.sid)
        for connection in socket.connections:
            connection.end()
        self._pending.note_late(socket.address)
        task = asyncio.create_task(_closed(socket.engine), name="late client")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


async def _closed(engine: Any) -> None:
    await engine.close(wait=False, abort=True, reason=engine.server.reason.PING_TIMEOUT)
    engine.server.sockets.pop(engine.sid, None)
    engine.queue.put_nowait(None)  # ends a poll that waits
