"""Replays a conversation over and over in a process of its own, reading bytes and nothing more, so that the machine's
few cores are left to the server and to who measures."""

import json
import os
import socket
import sys

UPGRADE = (
    "GET /socket.io/?EIO=4&transport=websocket{query} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
PIECE = 1 << 20


def replay(port: int, conversation: str, count: int, protocol: int) -> None:
    """From the handshake to the last of `count` stored events."""
    query = "" if protocol == 2 else f"&conversation_id={conversation}&latest_event_id=-1"
    auth = json.dumps({"protocol": 2, "conversation_id": conversation, "after": -1}) if protocol == 2 else ""
    mark = f'"id":{count - 1},'.encode()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(UPGRADE.format(query=query, port=port).encode())
        connection.recv(PIECE)
        connection.sendall(_frame(f"40{auth}".encode()))
        tail = b""
        while mark not in tail:
            piece = connection.recv(PIECE)
            if not piece:
                raise ConnectionError("the server ended the replay")
            tail = tail[-len(mark) :] + piece


def _frame(text: bytes) -> bytes:
    """One masked text frame of less than 64 KB."""
    mask = os.urandom(4)
    length = bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2, "big")
    return b"\x81" + length + mask + bytes(byte ^ mask[place % 4] for place, byte in enumerate(text))


if __name__ == "__main__":
    for number in range(int(sys.argv[4])):
        replay(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), 1 + number % 2)
