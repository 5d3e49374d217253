"""Socket.IO packets, encoded once and sent to many."""

from collections.abc import Iterable, Sequence

import orjson
from engineio.packet import MESSAGE, Packet

from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.events.event import Json


def prefix(namespace: str) -> str:
    """How an event packet of a namespace begins."""
    return "2" if namespace == "/" else f"2{namespace},"


def event_packet(name: str, text: str, namespace: str = "/") -> Packet:
    """An event whose one argument is JSON text already; it is not decoded."""
    return Packet(MESSAGE, data=f'{prefix(namespace)}["{name}",{text}]')


def array_packet(name: str, entries: Sequence[Stored]) -> Packet:
    """An event whose one argument is an array of stored events."""
    return event_packet(name, f"[{','.join([entry.text for entry in entries])}]")


def message_packet(name: str, value: Json, namespace: str = "/") -> Packet:
    """An event with a value that is encoded here."""
    return event_packet(name, orjson.dumps(value).decode(), namespace)


def size(packets: Iterable[Packet]) -> int:
    """Characters on the wire."""
    return sum(len(packet.data) for packet in packets)
