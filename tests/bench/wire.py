"""A raw websocket on a blocking socket. It decodes no JSON, so that a client costs next to nothing."""

import socket

UPGRADE = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
_BUFFER = memoryview(bytearray(1 << 18))
"""What every connection reads into: a buffer for each read would cost more than the read."""
LENGTHS = {126: 4, 127: 10}
"""Bytes of a server's frame header by its length field, where it is not two."""


PING = b"2"


class Wire:
    """A connection that has requested its upgrade. `source` is an address of the loopback network."""

    def __init__(self, port: int, path: str, source: str = "127.0.0.1") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), source_address=(source, 0))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.send(UPGRADE.format(path=path, port=port).encode())
        self._rest = b""
        self._upgraded = False

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def send(self, frame: bytes) -> None:
        self._socket.sendall(frame)

    def read(self) -> list[bytes]:
        """Wait for data once; the payloads of the frames that are complete then. Raises ConnectionError."""
        count = self._socket.recv_into(_BUFFER)
        if not count:
            raise ConnectionError("the server closed the connection")
        data = b"".join((self._rest, _BUFFER[:count]))
        if not self._upgraded:
            head, end, after = data.partition(b"\r\n\r\n")
            if end and not head.startswith(b"HTTP/1.1 101"):
                raise ConnectionError(head.decode())
            self._upgraded, data = bool(end), after if end else data
        payloads, self._rest = _payloads(data) if self._upgraded else ([], data)
        if PING in payloads:
            self.send(text_frame("3"))
        return payloads

    def wait_for(self, start: bytes) -> None:
        """Read until a frame begins with `start`."""
        while not any(payload.startswith(start) for payload in self.read()):
            pass


def text_frame(text: str) -> bytes:
    """A client's text frame of less than 64 KB; a mask of zeros leaves the payload as it is."""
    payload = text.encode()
    size = len(payload)
    length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return b"\x81" + length + bytes(4) + payload


def _payloads(data: bytes) -> tuple[list[bytes], bytes]:
    """The payloads of a server's complete frames, and the rest."""
    payloads = []
    start = 0
    while start + 2 <= len(data):
        size = data[start + 1]
        begin = start + LENGTHS.get(size, 2)
        if size in LENGTHS:
            size = int.from_bytes(data[start + 2 : begin], "big")
        if begin + size > len(data):
            break
        payloads.append(data[begin : begin + size])
        start = begin + size
    return payloads, data[start:]
