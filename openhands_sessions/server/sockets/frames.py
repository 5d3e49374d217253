"""Engine.io's way in: a frame that it cannot read goes on as a message, so that it is answered like any other bad one.
Otherwise it would end the connection with a traceback, and leave its tasks behind."""

import base64
import binascii
from typing import Any

from aiohttp import web
from engineio.async_drivers.aiohttp import WebSocket, translate_request
from engineio.payload import Payload

UNREADABLE = "4?"
"""A message that Socket.IO cannot read."""
KNOWN = "123456"
"""First characters of what a client may send: close, ping, pong, message, upgrade, nothing."""
GOODBYE = "1"
SEPARATOR = "\x1e"
"""Between the frames of one polling request."""


def readable(frame: str) -> str:
    """The frame itself where engine.io can read it, else UNREADABLE."""
    if frame[:1] == "b":
        return frame if _is_base64(frame[1:]) else UNREADABLE
    return frame if frame and frame[0] in KNOWN else UNREADABLE


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text)
    except (binascii.Error, ValueError):
        return False
    return True


class ReadableSocket(WebSocket):  # type: ignore[misc]  # engineio has no types
    """A websocket whose frames engine.io can read, and that ends when the client says goodbye."""

    def __init__(self, handler: object, server: object) -> None:
        super().__init__(handler, server)
        self._over = False

    async def wait(self) -> str | bytes:
        if self._over:
            raise OSError("the client has said goodbye")
        data: str | bytes = await super().wait()
        if not isinstance(data, str):
            return data
        self._over = data[:1] == GOODBYE
        return readable(data)


async def readable_request(request: web.Request) -> dict[str, Any]:
    """The WSGI environment of a request, with a body that engine.io can read."""
    environ: dict[str, Any] = translate_request(request)
    if request.method == "POST":
        content = _readable_payload(await request.read())
        environ["wsgi.input"] = _Body(content)
        environ["CONTENT_LENGTH"] = str(len(content))
    return environ


def _readable_payload(content: bytes) -> bytes:
    try:
        frames = content.decode().split(SEPARATOR) if content else []
    except UnicodeDecodeError:
        return UNREADABLE.encode()
    if len(frames) > Payload.max_decode_packets:
        return UNREADABLE.encode()
    return SEPARATOR.join(readable(frame) for frame in frames).encode()


class _Body:
    """Content that is there already."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def read(self, size: int) -> bytes:
        return self._content[:size]
