"""A connection to an executor: opened by socket or port and a hello; then concurrent requests, each with its answer."""

import asyncio
import contextlib
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from openhands_sessions.adapters.runtimes.executor_client.messages import refusal
from openhands_sessions.core.errors import RuntimeFailure, RuntimeUnavailable
from openhands_sessions.core.events.event import Json
from openhands_sessions.executor.frames import MAX_FRAME, VERSION, BadFrame, Message, encode, read_frame

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
        self._reading: asyncio.Future[None] = asyncio.create_task(self._read())

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
        self._writer.close()  # first: who waits here may be cancelled
        await asyncio.wait([self._reading])
        # The error of a cancelled task refers to what it ran, and that is this connection.
        self._reading = asyncio.get_running_loop().create_future()
        self._reading.set_result(None)
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


CONNECT_SECONDS = 10.0
_CREDENTIALS = struct.Struct("3i")

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect_socket(path: Path, *, term: int | None, seconds: float = ANSWER_SECONDS) -> ExecutorConnection | None:
    """Connect and say hello; None where nothing listens. Raises ExecutorUnresponsive where the listener does not answer
    in time or is not an executor; RuntimeUnavailable where an owner of a higher term has connected before."""
    streams = await _open_socket(path)
    return None if streams is None else await _handshake(streams, {"term": term}, seconds)


async def connect_port(
    host: str, port: int, *, secret: str, term: int | None, seconds: float = ANSWER_SECONDS
) -> ExecutorConnection | None:
    """As `connect_socket`, over TCP, to an executor that expects the secret."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            streams = await asyncio.open_connection(host, port)
    except ConnectionError:
        return None
    except (TimeoutError, OSError) as error:
        raise RuntimeUnavailable("the sandbox's port cannot be reached; does a firewall keep it shut?") from error
    return await _handshake(streams, {"term": term, "secret": secret}, seconds)


async def is_responsive(connecting: Awaitable[ExecutorConnection | None], seconds: float = ANSWER_SECONDS) -> bool:
    """Whether an executor answers both the hello and a status request in time."""
    try:
        async with asyncio.timeout(seconds):
            connection = await connecting
            if connection is None:
                return False
            try:
                await connection.call("status", {})
            finally:
                await connection.close()
    except (ExecutorUnresponsive, ConnectionLost, TimeoutError):
        return False
    except RuntimeFailure:
        return True  # a refusal is an answer
    return True


async def listener_pid(path: Path) -> int | None:
    """The pid of the process that listens on the socket, which need not answer; None where there is none. Raises
    ExecutorUnresponsive."""
    streams = await _open_socket(path)
    if streams is None:
        return None
    writer = streams[1]
    try:
        listener = writer.get_extra_info("socket")
        credentials = listener.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except OSError as error:
        raise _unusable(error) from error
    finally:
        writer.close()
    pid: int = _CREDENTIALS.unpack(credentials)[0]
    return pid


async def _handshake(streams: _Streams, identity: Message, seconds: float) -> ExecutorConnection | None:
    reader, writer = streams
    try:
        async with asyncio.timeout(seconds):
            writer.write(encode({"op": "hello", "version": VERSION, **identity}))
            hello = await read_message(reader)
    except OSError:  # TimeoutError is one
        hello = {}
    except BaseException:
        writer.close()
        raise
    if hello is not None and hello.get("version") == VERSION:
        return ExecutorConnection(reader, writer, seconds)
    writer.close()
    if hello is None:
        return None  # the executor is ending
    if "error" in hello:
        raise refusal(str(hello["error"]), str(hello.get("message", "")))
    raise ExecutorUnresponsive("the sandbox does not answer")


async def _open_socket(path: Path) -> _Streams | None:
    """Connect without following a link that the sandbox may have put there. Goes through a descriptor, because a
    socket's path is limited to 108 bytes."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(error) from error
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            raise ExecutorUnresponsive("the sandbox's socket is none")
        streams = await asyncio.open_unix_connection(f"/proc/self/fd/{descriptor}")
    except (ConnectionRefusedError, FileNotFoundError):
        return None
    except OSError as error:  # another type of socket, or a full backlog
        raise _unusable(error) from error
    finally:
        os.close(descriptor)
    try:
        streams[1].get_extra_info("socket").getpeername()
    except OSError as error:  # asyncio does not report that the connection was never made
        streams[1].close()
        raise _unusable(error) from error
    return streams


def _unusable(error: OSError) -> ExecutorUnresponsive:
    return ExecutorUnresponsive(f"the sandbox's socket cannot be reached: {error.strerror}")
