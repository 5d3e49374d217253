"""A Socket.IO server that answers what python-socketio would drop or fail at: packets that are too large, malformed,
binary or out of place."""

import asyncio
import re
from typing import Any

import socketio
from socketio import packet

from openhands_sessions.core.errors import BadInput, CallerError, NotFound, TooLarge
from openhands_sessions.core.events.event import Json
from openhands_sessions.protocol.errors import Acknowledgement, BareError, Refusal
from openhands_sessions.server.slow_client import abort
from openhands_sessions.server.sockets.strict_frames import READ, announcing_response, readable_request
from openhands_sessions.server.sockets.websocket import ClientWebSocket

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
    """`message_bytes` is the largest message that is taken; up to READ times as much is read, to be answered. A client
    that asks and does not read is not heard until it does, and cut after `grace` seconds."""

    def __init__(self, message_bytes: int, grace: float, **options: Any) -> None:
        super().__init__(max_http_buffer_size=READ * message_bytes, **options)
        self._message_bytes = message_bytes
        self._grace = grace
        # There is no public way to have frames looked at before they are decoded, or after they are encoded.
        own = {
            "websocket": ClientWebSocket,
            "translate_request": readable_request,
            "make_response": announcing_response,
        }
        self.eio._async = {**self.eio._async, **own}

    async def _handle_eio_message(self, eio_sid: str, data: object) -> None:
        # The one way in for every packet; there is no public hook before it is decoded.
        await self._room(eio_sid)
        try:
            if not isinstance(data, str):
                raise BadInput("the message", "must be a Socket.IO packet: attachments are not taken")
            if len(data) > self._message_bytes:
                raise TooLarge(f"a message must not be larger than {self._message_bytes} bytes")
            await self._decoded(eio_sid, data)
        except CallerError as error:
            await self._answer(eio_sid, data, error)

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

    def _is_connected(self, eio_sid: str, namespace: str | None) -> bool:
        place = namespace or "/"
        connected: bool = self.manager.is_connected(self.manager.sid_from_eio_sid(eio_sid, place), place)
        return connected

    async def _answer(self, eio_sid: str, data: object, error: CallerError) -> None:
        head = data[:HEAD] if isinstance(data, str) else ""
        asking, entering = ASKING.match(head), ENTERING.match(head)
        if asking is not None:
            refusal = Acknowledgement.refusing(error).wire()
            answer = self.packet_class(packet.ACK, namespace=asking[1] or "/", id=int(asking[2]), data=[refusal])
        elif entering is not None and not self._is_connected(eio_sid, entering[1]):
            told = Refusal.of(error).wire()
            answer = self.packet_class(packet.CONNECT_ERROR, namespace=entering[1] or "/", data=told)
        else:
            event: list[Json] = ["oh_event", BareError.of(error).wire()]
            answer = self.packet_class(packet.EVENT, namespace="/", data=event)
        await self._send_packet(eio_sid, answer)
