"""Socket.IO packets, encoded once and sent to many."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache

import orjson
from engineio.packet import MESSAGE

from openhands_sessions.core.errors import SessionsError
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.events.event import Json
from openhands_sessions.protocol.errors import BareError
from openhands_sessions.protocol.socket_messages import StatusUpdate
from openhands_sessions.server.sockets.websocket import EventPacket

SHARED = 32
"""Packets of events that are kept for the next client."""
LARGEST_SHARED = 64 * 1024


def prefix(namespace: str) -> str:
    """How an event packet of a namespace begins."""
    return "2" if namespace == "/" else f"2{namespace},"


def event_packet(name: str, text: str, namespace: str = "/") -> EventPacket:
    """An event whose one argument is JSON text already; it is not decoded."""
    return EventPacket(MESSAGE, data=f'{prefix(namespace)}["{name}",{text}]')


@lru_cache(maxsize=SHARED)
def shared_packet(text: str) -> EventPacket:
    """The packet of a stored event: one and the same for clients that are sent it at about the same time."""
    return event_packet("oh_event", text)


def array_packet(name: str, entries: Sequence[Stored]) -> EventPacket:
    """An event whose one argument is an array of stored events."""
    return event_packet(name, f"[{','.join([entry.text for entry in entries])}]")


def message_packet(name: str, value: Json, namespace: str = "/") -> EventPacket:
    """An event with a value that is encoded here."""
    return event_packet(name, orjson.dumps(value).decode(), namespace)


def refusals(error: SessionsError) -> Sequence[dict[str, Json]]:
    """What a V0 client gets in place of an acknowledgement: the bare error, and the status update that it shows."""
    return [BareError.of(error).wire(), StatusUpdate.refusing(error, datetime.now(UTC)).wire()]


def size(packets: Iterable[EventPacket]) -> int:
    """Characters on the wire."""
    return sum(len(packet.data) for packet in packets)
