"""A Socket.IO server that answers what python-socketio would drop or fail at: packets that are too large, malformed,
binary or out of place."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import socketio
from aiohttp import web
from socketio import packet

from openhands_sessions.core.errors import BadInput, CallerError, NotFound
from openhands_sessions.core.events.event import Json
from openhands_sessions.protocol.errors import Acknowledgement, Refusal
from openhands_sessions.server.identification import Identification
from openhands_sessions.server.inbound import READ, MessageLimits, read_body, too_large
from openhands_sessions.server.packets import refusals
from openhands_sessions.server.pending_connections import PendingConnections
from openhands_sessions.server.slow_client import abort
from openhands_sessions.server.sockets.client_websocket import ClientWebSocket
from openhands_sessions.server.sockets.departures import Departures
from openhands_sessions.server.sockets.known_clients import KnownClients
from openhands_sessions.server.sockets.pending_sockets import PendingSockets
from openhands_sessions.server.sockets.pings import PingingServer
from openhands_sessions.server.sockets.strict_frames import announcing_response, readable_environ

ASKING = re.compile(r"[25](?:\d+-)?(?:(/[^,]*),)?(\d{1,15})(?![\d-])")
"""An event packet that asks for an acknowledgement, up to its number; with its namespace, if that is not `/`."""
ENTERING = re.compile(r"0(/[^,?]*)?")
"""A packet that connects to a namespace."""
HEAD = 128
"""Characters of a packet that are looked at for what answers it."""
RESERVED = frozenset({"connect", "connect_error", "disconnect", "disconnecting"})
"""Names of events that the library itself brings about: a client must not."""
WAITING = 256
"""Packets that may wait for a client before it is heard again."""


class StrictServer(socketio.AsyncServer):  # type: ignore[misc]  # python-socketio has no types
    """Up to READ times as much as `limits` allow is read, to be answered. A client that asks and does not read is not
    heard until it does, and cut after `grace` seconds."""

    def __init__(
        self, limits: MessageLimits, callers: Identification, pending: PendingConnections, grace: float, **options: Any
    ) -> None:
        super().__init__(max_http_buffer_size=READ * limits.message_bytes, **options)
        self._limits = limits
        self._always_taken = limits.taken(known=False)
        self._known = KnownClients(callers)
        self._departures = Departures()
        self._pending = PendingSockets(pending)
        self._grace = grace
        # There is no public way to have frames looked at before they are decoded, or after they are encoded.
        own = {"websocket": self._websocket, "translate_request": self._environ, "make_response": announcing_response}
        self.eio._async = {**self.eio._async, **own}

    def _websocket(self, handler: Any, server: object) -> Callable[[dict[str, Any]], Awaitable[web.WebSocketResponse]]:
        """`handler` is the method of engine.io's socket that would read and write."""

        async def serve(environ: dict[str, Any]) -> web.WebSocketResponse:
            return await ClientWebSocket(
                handler.__self__, environ["aiohttp.request"], self._limits, self._known, self._departures
            ).serve()

        return serve

    async def _environ(self, request: web.Request) -> dict[str, Any]:
        """The WSGI environment of a request. Raises TooLarge, AtCapacity for what a client that polls sends."""
        engine = self.eio.sockets.get(request.query.get("sid", ""))
        self._pending.request_arrived(request, live=engine is not None)
        if request.method != "POST" or engine is None:
            return readable_environ(request, None)
        taken = self._limits.taken(known=engine in self._known)
        # While a body comes, no pong can: the client sends one request after the other.
        body = await read_body(request, READ * taken, limit=taken, heard=engine.schedule_ping)
        return readable_environ(request, body)

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> None:
        await super()._handle_eio_connect(eio_sid, environ)
        engine = self.eio.sockets[eio_sid]
        request = environ["aiohttp.request"]
        self._pending.begin(engine, request)
        await self._known.look(engine, request)

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        self._pending.leave(eio_sid)
        self.eio.forget(eio_sid)
        await super()._handle_eio_disconnect(eio_sid, reason)

    def _engineio_server_class(self) -> type[PingingServer]:
        return PingingServer

    async def _handle_eio_message(self, eio_sid: str, data: object) -> None:
        # The one way in for every packet; there is no public hook before it is decoded.
        self._pending.has_sent(eio_sid)
        await self._room(eio_sid)
        try:
            if isinstance(data, str | bytes):
                self._check_size(eio_sid, data)
            if not isinstance(data, str):
                raise BadInput("the message", "must be a Socket.IO packet: attachments are not taken")
            await self._decoded(eio_sid, data)
        except CallerError as error:
            await self._answer(eio_sid, data, error)
        finally:
            self._pending.owes(eio_sid)

    def _check_size(self, eio_sid: str, data: str | bytes) -> None:
        if 4 * len(data) <= self._always_taken:
            return
        limit = self._limits.taken(known=self.eio.sockets.get(eio_sid) in self._known)
        size = len(data) if isinstance(data, bytes) or data.isascii() else len(data.encode())
        if size > limit:
            self._limits.note(self.environ[eio_sid]["aiohttp.request"], "too large", limit=limit, size=size)
            raise too_large(limit)

    async def _room(self, eio_sid: str) -> None:
        """Wait until the client has taken what was answered to it so far."""
        connection = self.eio.sockets.get(eio_sid)
        if connection is None or connection.queue.qsize() < WAITING:
            return
        try:
            async with asyncio.timeout(self._grace):
                await connection.queue.join()
        except TimeoutError:
            if (environ := self.environ.get(eio_sid)) is not None:  # it may have gone at this moment
                abort(environ["aiohttp.request"].transport)

    async def _decoded(self, eio_sid: str, data: str) -> None:
        try:
            given = self.packet_class(encoded_packet=data)
        except (ValueError, IndexError, TypeError, KeyError) as error:
            raise BadInput("the message", "is not a Socket.IO packet with JSON in it") from error
        match given.packet_type:
            case packet.EVENT:
                self._check_event(eio_sid, given)
                await self._handle_event(eio_sid, given.namespace, given.id, given.data)
            case packet.CONNECT:
                await self._entered(eio_sid, given)
            case packet.DISCONNECT | packet.ACK:
                await super()._handle_eio_message(eio_sid, data)
            case packet.BINARY_EVENT | packet.BINARY_ACK:
                raise BadInput("the message", "must be JSON text: attachments are not taken")
            case _:
                raise BadInput("the message", "is not a packet that a client sends")

    def _check_event(self, eio_sid: str, given: packet.Packet) -> None:
        if not isinstance(given.data, list) or not given.data or not isinstance(given.data[0], str):
            raise BadInput("the message", "must be an array that begins with the event's name")
        if given.data[0] in RESERVED:
            raise BadInput("the event", f"must not be {given.data[0]!r}, which is the library's own")
        if not self._is_connected(eio_sid, given.namespace):
            raise BadInput("the message", "is for a namespace that is not connected")

    async def _entered(self, eio_sid: str, given: packet.Packet) -> None:
        namespace = given.namespace or "/"
        if namespace not in self.namespace_handlers:
            raise NotFound("namespace", namespace[:64])
        if self._is_connected(eio_sid, namespace):
            raise BadInput("the message", "connects to a namespace that is connected already")
        await self._handle_connect(eio_sid, namespace, given.data)
        if self._is_connected(eio_sid, namespace) and (engine := self.eio.sockets.get(eio_sid)) is not None:
            self._known.add(engine)
            self._pending.let_in(eio_sid)

    def _is_connected(self, eio_sid: str, namespace: str | None) -> bool:
        place = namespace or "/"
        connected: bool = self.manager.is_connected(self.manager.sid_from_eio_sid(eio_sid, place), place)
        return connected

    async def _answer(self, eio_sid: str, data: object, error: CallerError) -> None:
        head = data[:HEAD] if isinstance(data, str) else ""
        asking, entering = ASKING.match(head), ENTERING.match(head)
        if asking is not None:
            told = Acknowledgement.refusing(error).wire()
            answer = self.packet_class(packet.ACK, namespace=asking[1] or "/", id=int(asking[2]), data=[told])
        elif entering is not None and not self._is_connected(eio_sid, entering[1]):
            told = Refusal.of(error).wire()
            answer = self.packet_class(packet.CONNECT_ERROR, namespace=entering[1] or "/", data=told)
        else:
            for refusal in refusals(error):
                event: list[Json] = ["oh_event", refusal]
                await self._send_packet(eio_sid, self.packet_class(packet.EVENT, namespace="/", data=event))
            return
        await self._send_packet(eio_sid, answer)
