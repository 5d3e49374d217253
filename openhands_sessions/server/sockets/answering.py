"""A Socket.IO server that answers what python-socketio would drop: packets too large, malformed or binary."""

import re
from typing import Any

import socketio
from socketio import packet

from openhands_sessions.core.errors import BadInput, CallerError, TooLarge
from openhands_sessions.core.events.event import Json
from openhands_sessions.server.wire import error_wire

ASKING = re.compile(r"2(?:/[^,]*,)?(\d+)\[")
"""An event packet that asks for an acknowledgement, up to its number."""


class AnsweringServer(socketio.AsyncServer):  # type: ignore[misc]  # python-socketio has no types
    """`message_bytes` is the largest message that is taken; up to twice as much is read, to be answered."""

    def __init__(self, message_bytes: int, **options: Any) -> None:
        super().__init__(max_http_buffer_size=2 * message_bytes, **options)
        self._message_bytes = message_bytes

    async def _handle_eio_message(self, eio_sid: str, data: str | bytes) -> None:
        # The one way in for every packet; there is no public hook before it is decoded.
        try:
            if len(data) > self._message_bytes:
                raise TooLarge(f"a message must not be larger than {self._message_bytes} bytes")
            if not isinstance(data, str) or data[:1] in ("5", "6"):
                raise BadInput("the message", "must be JSON text: attachments are not taken")
            await self._decoded(eio_sid, data)
        except CallerError as error:
            await self._answer(eio_sid, data, error)

    async def _decoded(self, eio_sid: str, data: str) -> None:
        try:
            given = self.packet_class(encoded_packet=data)
        except (ValueError, IndexError, TypeError, KeyError) as error:
            raise BadInput("the message", "is not a Socket.IO packet with JSON in it") from error
        named = isinstance(given.data, list) and given.data and isinstance(given.data[0], str)
        if given.packet_type == packet.EVENT and not named:
            raise BadInput("the message", "must be an array that begins with the event's name")
        await super()._handle_eio_message(eio_sid, data)

    async def _answer(self, eio_sid: str, data: str | bytes, error: CallerError) -> None:
        asking = ASKING.match(data[:128]) if isinstance(data, str) else None
        if asking is not None:
            refusal: dict[str, Json] = {"ok": False, "code": error.code, "message": error.message}
            answer = self.packet_class(packet.ACK, namespace="/", id=int(asking[1][:15]), data=[refusal])
        else:
            event: list[Json] = ["oh_event", error_wire(error.message, error.code)]
            answer = self.packet_class(packet.EVENT, namespace="/", data=event)
        await self._send_packet(eio_sid, answer)
