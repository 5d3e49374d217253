"""The frames of the socket, for both sides: a length in four bytes, and that many bytes of JSON."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any, Awaitable, Callable, Dict

VERSION = 1
MAX_FRAME = 8 << 20

Message = Dict[str, Any]
Send = Callable[[Message], Awaitable[None]]

_LENGTH = struct.Struct(">I")


class BadFrame(Exception):
    """The bytes are not a frame, so the bytes after them cannot be read either; or a message is too large for one."""


class RequestRefused(Exception):
    """The executor refuses a request; `code` is the machine-readable reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def encode(message: Message) -> bytes:
    """One frame. Raises BadFrame for a message over the limit."""
    text = json.dumps(message, separators=(",", ":")).encode()
    if len(text) > MAX_FRAME:
        raise BadFrame(f"a frame of {len(text)} bytes is too large")
    return _LENGTH.pack(len(text)) + text


async def read_frame(reader: asyncio.StreamReader, limit: int = MAX_FRAME) -> Message | None:
    """The next message, None at the end of the connection. Raises BadFrame, also for a message over `limit` bytes."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > limit:
            raise BadFrame(f"a frame of {length} bytes is too large")
        message = json.loads(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    except (ValueError, RecursionError) as error:
        raise BadFrame("not JSON") from error
    if not isinstance(message, dict):
        raise BadFrame("not an object")
    return message


def text_of(message: Message, name: str) -> str:
    """A required text. Raises RequestRefused."""
    value = message.get(name)
    if not isinstance(value, str):
        raise RequestRefused("bad_request", f"{name} must be a text")
    return value


def optional_text(message: Message, name: str) -> str | None:
    return None if message.get(name) is None else text_of(message, name)


def optional_int(message: Message, name: str) -> int | None:
    value = message.get(name)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise RequestRefused("bad_request", f"{name} must be an integer")


def optional_seconds(message: Message, name: str) -> float | None:
    """A duration above zero. Raises RequestRefused."""
    value = message.get(name)
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e9:
        return float(value)
    raise RequestRefused("bad_request", f"{name} must be a number of seconds above 0")
