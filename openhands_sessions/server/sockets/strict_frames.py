"""Engine.io's way in: a frame that it cannot read goes on as a message, so that it is answered like any other bad one.
Otherwise it would end the connection with a traceback, and leave its tasks behind. On its way out, the handshake says
how much is taken, which is less than what is read to be answered."""

import asyncio
import base64
import re
from typing import Any

from aiohttp import web
from engineio.async_drivers.aiohttp import make_response, translate_request
from engineio.payload import Payload

from openhands_sessions.server.inbound import READ

UNREADABLE = "4?"
"""A message that Socket.IO cannot read."""
KNOWN = "123456"
"""First characters of what a client may send: close, ping, pong, message, upgrade, nothing."""
OPENING = "0"
"""First character of the server's handshake."""
_LARGEST = re.compile(r'(?<="maxPayload":)\d+')
SEPARATOR = "\x1e"
"""Between the frames of one polling request."""


def readable(frame: str) -> str:
    """The frame itself where engine.io can read it, else UNREADABLE."""
    if frame[:1] == "b":
        try:
            base64.b64decode(frame[1:])
        except ValueError:
            return UNREADABLE
        return frame
    return frame if frame and frame[0] in KNOWN else UNREADABLE


def announcing(frame: str) -> str:
    """The frame itself; a handshake with the size of what is taken."""
    return _LARGEST.sub(lambda size: str(int(size[0]) // READ), frame) if frame[:1] == OPENING else frame


def announcing_response(status: str, headers: object, content: bytes, environ: object) -> web.Response:
    """The answer to a polling request."""
    response: web.Response = make_response(status, headers, announcing(content.decode()).encode(), environ)
    return response


def readable_environ(request: web.Request, body: bytes | None) -> dict[str, Any]:
    """The WSGI environment of a request; its body, if it is not for engine.io to read it, as engine.io can read it."""
    environ: dict[str, Any] = translate_request(request)
    if body is not None:
        content = _readable_payload(body)
        environ["wsgi.input"] = asyncio.StreamReader()
        environ["wsgi.input"].feed_data(content)
        environ["wsgi.input"].feed_eof()
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
