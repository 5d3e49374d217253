"""A connection to an executor: concurrent requests, each with its answer and the chunks sent before the answer."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from openhands_sessions.adapters.runtimes.executor_client.messages import refusal
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.core.events.event import Json
from openhands_sessions.executor.frames import MAX_FRAME, BadFrame, Message, encode, read_frame

ANSWER_SECONDS = 10.0
"""How long an executor may take for an answer that needs no work."""
_MISSED_ANSWERS = 3
"""Status requests in a row without an answer that end the connection: a machine that slept may miss one."""
_CLOSE_SECONDS = 1.0

OnChunk = Callable[[Message], None]


class ConnectionLost(Exception):
    """The connection ended before the answer came: the request may have been carried out."""


class ExecutorUnresponsive(RuntimeUnavailable):
    """Something listens, but it is not an executor that answers."""

    def __init__(self, message: str = "the sandbox does not answer") -> None:
        super().__init__(message)


@dataclass(slots=True)
class _PendingCall:
    answer: asyncio.Future[Message]
    on_chunk: OnChunk | None


class ExecutorConnection:
    """One connection after its handshake. Its opener closes it. While a call is pending and the executor is silent, it
    is asked for its status every `seconds`; without an answer to that the connection ends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
        self.timed_out = False
        """The connection ended because the executor was silent for too long."""
        self._reader = reader
        self._writer = writer
        self._seconds = seconds
        self._calls: dict[int, _PendingCall] = {}
        self._last_id = 0
        self._unanswered = 0
        self._status_timer: asyncio.TimerHandle | None = None
        self._reading = asyncio.create_task(self._read())

    @property
    def alive(self) -> bool:
        return not self.timed_out and not self._reading.done()

    async def ask(self, op: str, body: Mapping[str, Json]) -> Message:
        """As `call`, for requests that need no work: without an answer in time, the connection ends."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self.call(op, body)
        except TimeoutError:
            self._time_out()
            raise ConnectionLost from None

    async def call(self, op: str, body: Mapping[str, Json], on_chunk: OnChunk | None = None) -> Message:
        """Send a request and return its answer. Cancelling withdraws the request, not the action it started. Raises
        ConnectionLost, and RuntimeFailure where the executor refuses."""
        if not self.alive:
            raise ConnectionLost
        self._last_id += 1
        number = self._last_id
        call = self._calls[number] = _PendingCall(asyncio.get_running_loop().create_future(), on_chunk)
        self._start_status_timer()
        try:
            await self._send({"id": number, "op": op, **body})
            return await call.answer
        except asyncio.CancelledError:
            self._last_id += 1
            self._writer.write(encode({"id": self._last_id, "op": "release", "of": number}))
            raise
        finally:
            del self._calls[number]

    async def shutdown(self) -> None:
        """Ask the executor to end itself; returns when it has. Raises RuntimeFailure."""
        with contextlib.suppress(ConnectionLost):
            await self.call("shutdown", {})
        await asyncio.wait([self._reading])

    async def close(self) -> None:
        self._stop_status_timer()
        self._reading.cancel()
        await asyncio.wait([self._reading])
        self._writer.close()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):  # a peer that does not read keeps the buffer from draining
                await self._writer.wait_closed()
        except TimeoutError:
            self._writer.transport.abort()
        except OSError:
            pass

    def _start_status_timer(self) -> None:
        if self._status_timer is None:
            self._unanswered = 0
            self._status_timer = asyncio.get_running_loop().call_later(self._seconds, self._ask_status)

    def _stop_status_timer(self) -> None:
        if self._status_timer is not None:
            self._status_timer.cancel()
            self._status_timer = None

    def _ask_status(self) -> None:
        self._status_timer = None
        if not self._calls:  # the sandbox may be paused
            return
        if self._unanswered == _MISSED_ANSWERS:
            self._time_out()
            return
        self._unanswered += 1
        self._last_id += 1
        self._writer.write(encode({"id": self._last_id, "op": "status"}))
        self._status_timer = asyncio.get_running_loop().call_later(self._seconds, self._ask_status)

    def _time_out(self) -> None:
        self.timed_out = True
        self._writer.transport.abort()

    async def _send(self, message: Message) -> None:
        try:
            frame = encode(message)
        except BadFrame:
            raise refusal("bad_request", f"the request is larger than {MAX_FRAME} bytes") from None
        try:
            self._writer.write(frame)
            await self._writer.drain()
        except OSError:
            self._writer.transport.abort()
            await asyncio.wait([self._reading])  # until then `alive` is true, and the next call would come here again
            raise ConnectionLost from None

    async def _read(self) -> None:
        try:
            while (message := await read_message(self._reader)) is not None:
                self._unanswered = 0
                self._take(message)
        finally:
            self._stop_status_timer()
            for call in self._calls.values():
                if not call.answer.done():
                    call.answer.set_exception(ConnectionLost())

    def _take(self, message: Message) -> None:
        number = message.get("id")
        call = self._calls.get(number) if isinstance(number, int) else None
        if call is None or call.answer.done():
            return  # the answer to a request that was withdrawn
        chunk = message.get("piece")
        if isinstance(chunk, dict):
            if call.on_chunk is not None:
                call.on_chunk(chunk)
        elif "error" in message:
            call.answer.set_exception(refusal(str(message["error"]), str(message.get("message", ""))))
        else:
            call.answer.set_result(message)


async def read_message(reader: asyncio.StreamReader) -> Message | None:
    """The next message; None at the end of the connection, or where what follows is not a frame."""
    try:
        return await read_frame(reader)
    except (BadFrame, OSError):
        return None
