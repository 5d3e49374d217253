"""A connection to an executor: many requests at once, each with its answer and the pieces that come before it."""

import asyncio
import contextlib
import json
import os
import socket
import stat
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openhands_sessions.adapters.runtimes.messages import refusal
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.core.events.event import Json

VERSION = 1
MAX_FRAME = 8 << 20
HELLO_SECONDS = 10.0
CONNECT_SECONDS = 10.0

Answer = dict[str, Any]
OnPiece = Callable[[Answer], None]

_LENGTH = struct.Struct(">I")
_CREDENTIALS = struct.Struct("3i")


class LinkLost(Exception):
    """The connection ended before the answer came: what was asked may have been done."""


@dataclass(slots=True)
class _Call:
    answer: asyncio.Future[Answer]
    on_piece: OnPiece | None


class Link:
    """One connection that has been greeted. Whoever opened it closes it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._calls: dict[int, _Call] = {}
        self._last = 0
        self._reading = asyncio.create_task(self._read())

    @property
    def alive(self) -> bool:
        return not self._reading.done()

    async def call(self, op: str, body: Mapping[str, Json], on_piece: OnPiece | None = None) -> Answer:
        """Ask and return the answer. Being cancelled takes back the request, not what it began. Raises LinkLost, and
        RuntimeFailure where the executor refuses."""
        if not self.alive:
            raise LinkLost
        self._last += 1
        number = self._last
        call = self._calls[number] = _Call(asyncio.get_running_loop().create_future(), on_piece)
        try:
            await self._send({"id": number, "op": op, **body})
            return await call.answer
        except asyncio.CancelledError:
            self._last += 1
            self._writer.write(_frame({"id": self._last, "op": "release", "of": number}))
            raise
        finally:
            del self._calls[number]

    async def shutdown(self) -> None:
        """Have the executor end itself; returns when it has. Raises RuntimeFailure."""
        with contextlib.suppress(LinkLost):
            await self.call("shutdown", {})
        await asyncio.wait([self._reading])

    async def close(self) -> None:
        self._reading.cancel()
        await asyncio.wait([self._reading])
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _send(self, message: Mapping[str, Json]) -> None:
        try:
            self._writer.write(_frame(message))
            await self._writer.drain()
        except ConnectionError:
            raise LinkLost from None

    async def _read(self) -> None:
        try:
            while (message := await _read_frame(self._reader)) is not None:
                self._take(message)
        finally:
            for call in self._calls.values():
                if not call.answer.done():
                    call.answer.set_exception(LinkLost())

    def _take(self, message: Answer) -> None:
        number = message.get("id")
        call = self._calls.get(number) if isinstance(number, int) else None
        if call is None or call.answer.done():
            return  # the answer to a request that was taken back
        piece = message.get("piece")
        if isinstance(piece, dict):
            if call.on_piece is not None:
                call.on_piece(piece)
        elif "error" in message:
            call.answer.set_exception(refusal(str(message["error"]), str(message.get("message", ""))))
        else:
            call.answer.set_result(message)


async def connect(path: Path, *, term: int | None) -> Link | None:
    """Connect and say hello; None where nobody listens. Raises RuntimeUnavailable where a newer owner has come or what
    listens is no executor."""
    streams = await _connected(path)
    return None if streams is None else await _greeted(*streams, {"term": term})


async def connect_port(host: str, port: int, *, secret: str, term: int | None) -> Link | None:
    """As `connect`, over the network, to one that knows the secret."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            streams = await asyncio.open_connection(host, port)
    except ConnectionError:
        return None
    except (TimeoutError, OSError) as error:
        raise RuntimeUnavailable("the sandbox's port cannot be reached; does a firewall keep it shut?") from error
    return await _greeted(*streams, {"term": term, "secret": secret})


async def _greeted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, who: Mapping[str, Json]) -> Link | None:
    try:
        async with asyncio.timeout(HELLO_SECONDS):
            writer.write(_frame({"op": "hello", "version": VERSION, **who}))
            hello = await _read_frame(reader)
    except (TimeoutError, ConnectionError):
        hello = {}
    except BaseException:
        writer.close()
        raise
    if hello is not None and hello.get("version") == VERSION:
        return Link(reader, writer)
    writer.close()
    if hello is None:
        return None  # it is ending
    if "error" in hello:
        raise refusal(str(hello["error"]), str(hello.get("message", "")))
    raise RuntimeUnavailable("the sandbox does not answer")


async def peer(path: Path) -> int | None:
    """The process that listens, for the case that it does not answer; None where there is none."""
    streams = await _connected(path)
    if streams is None:
        return None
    writer = streams[1]
    credentials = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    writer.close()
    pid: int = _CREDENTIALS.unpack(credentials)[0]
    return pid


async def _connected(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    """Connect to a socket that a sandbox may have put a link in the place of; through its descriptor, for a path is
    limited to 108 bytes."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RuntimeUnavailable(f"the sandbox's socket cannot be reached: {error.strerror}") from error
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            raise RuntimeUnavailable("the sandbox's socket is none")
        return await asyncio.open_unix_connection(f"/proc/self/fd/{descriptor}")
    except (ConnectionRefusedError, FileNotFoundError):
        return None
    finally:
        os.close(descriptor)


def _frame(message: Mapping[str, Json]) -> bytes:
    text = json.dumps(message, separators=(",", ":")).encode()
    if len(text) > MAX_FRAME:
        raise refusal("bad_request", f"the request is larger than {MAX_FRAME} bytes")
    return _LENGTH.pack(len(text)) + text


async def _read_frame(reader: asyncio.StreamReader) -> Answer | None:
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > MAX_FRAME:
            return None
        message = json.loads(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError, ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None
