"""A connection to an executor: many requests at once, each with its answer and the pieces that come before it."""

import asyncio
import contextlib
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from openhands_sessions.adapters.runtimes.executor_client.messages import refusal
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.core.events.event import Json

MAX_FRAME = 8 << 20
ANSWER_SECONDS = 10.0
"""How long an executor may take for an answer that takes no work."""
_SIGNS = 3
"""How often one in a row is asked for a sign of life: a machine that slept may miss an answer that has come."""
_CLOSE_SECONDS = 1.0

Message = dict[str, Any]
OnChunk = Callable[[Message], None]

_LENGTH = struct.Struct(">I")


class ConnectionLost(Exception):
    """The connection ended before the answer came: what was asked may have been done."""


class ExecutorUnresponsive(RuntimeUnavailable):
    """Something is there, but no executor that answers."""

    def __init__(self, message: str = "the sandbox does not answer") -> None:
        super().__init__(message)


@dataclass(slots=True)
class _Call:
    answer: asyncio.Future[Message]
    on_piece: OnChunk | None


class ExecutorConnection:
    """One connection that has been greeted. Whoever opened it closes it. While an answer is awaited, the executor must
    say something, or give a sign of life when it is asked for one each `seconds`; else the connection ends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
        self.silent = False
        """It has ended because the executor was silent for too long."""
        self._reader = reader
        self._writer = writer
        self._seconds = seconds
        self._calls: dict[int, _Call] = {}
        self._last = 0
        self._unheard = 0
        self._looking: asyncio.TimerHandle | None = None
        self._reading = asyncio.create_task(self._read())

    @property
    def alive(self) -> bool:
        return not self.silent and not self._reading.done()

    async def ask(self, op: str, body: Mapping[str, Json]) -> Message:
        """As `call`, for what takes no work: where no answer comes in time, the connection ends."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self.call(op, body)
        except TimeoutError:
            self._give_up()
            raise ConnectionLost from None

    async def call(self, op: str, body: Mapping[str, Json], on_piece: OnChunk | None = None) -> Message:
        """Ask and return the answer. Being cancelled takes back the request, not what it began. Raises
        ConnectionLost, and RuntimeFailure where the executor refuses."""
        if not self.alive:
            raise ConnectionLost
        self._last += 1
        number = self._last
        call = self._calls[number] = _Call(asyncio.get_running_loop().create_future(), on_piece)
        self._watch()
        try:
            await self._send({"id": number, "op": op, **body})
            return await call.answer
        except asyncio.CancelledError:
            self._last += 1
            self._writer.write(frame({"id": self._last, "op": "release", "of": number}))
            raise
        finally:
            del self._calls[number]

    async def shutdown(self) -> None:
        """Have the executor end itself; returns when it has. Raises RuntimeFailure."""
        with contextlib.suppress(ConnectionLost):
            await self.call("shutdown", {})
        await asyncio.wait([self._reading])

    async def close(self) -> None:
        self._unwatch()
        self._reading.cancel()
        await asyncio.wait([self._reading])
        self._writer.close()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):  # one that does not read keeps what was said from leaving
                await self._writer.wait_closed()
        except TimeoutError:
            self._writer.transport.abort()
        except OSError:
            pass

    def _watch(self) -> None:
        if self._looking is None:
            self._unheard = 0
            self._looking = asyncio.get_running_loop().call_later(self._seconds, self._look)

    def _unwatch(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def _look(self) -> None:
        self._looking = None
        if not self._calls:  # and so it may be paused
            return
        if self._unheard == _SIGNS:
            self._give_up()
            return
        self._unheard += 1
        self._last += 1
        self._writer.write(frame({"id": self._last, "op": "status"}))
        self._looking = asyncio.get_running_loop().call_later(self._seconds, self._look)

    def _give_up(self) -> None:
        self.silent = True
        self._writer.transport.abort()

    async def _send(self, message: Mapping[str, Json]) -> None:
        try:
            self._writer.write(frame(message))
            await self._writer.drain()
        except OSError:
            self._writer.transport.abort()
            await asyncio.wait([self._reading])  # or it would be taken for alive, and asked again at once
            raise ConnectionLost from None

    async def _read(self) -> None:
        try:
            while (message := await read_frame(self._reader)) is not None:
                self._unheard = 0
                self._take(message)
        finally:
            self._unwatch()
            for call in self._calls.values():
                if not call.answer.done():
                    call.answer.set_exception(ConnectionLost())

    def _take(self, message: Message) -> None:
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


def frame(message: Mapping[str, Json]) -> bytes:
    """A message as it travels: its length in four bytes, and its JSON."""
    text = json.dumps(message, separators=(",", ":")).encode()
    if len(text) > MAX_FRAME:
        raise refusal("bad_request", f"the request is larger than {MAX_FRAME} bytes")
    return _LENGTH.pack(len(text)) + text


async def read_frame(reader: asyncio.StreamReader) -> Message | None:
    """The next message; None at the end of the connection, or where what comes is none."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > MAX_FRAME:
            return None
        message = json.loads(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, OSError, ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None
