"""How a connection to an executor is opened: by its unix socket or its TCP port, then a hello."""

import asyncio
import os
import socket
import stat
import struct
from collections.abc import Awaitable
from pathlib import Path

from openhands_sessions.adapters.runtimes.executor_client.connection import (
    ANSWER_SECONDS,
    ConnectionLost,
    ExecutorConnection,
    ExecutorUnresponsive,
    read_message,
)
from openhands_sessions.adapters.runtimes.executor_client.messages import refusal
from openhands_sessions.core.errors import RuntimeFailure, RuntimeUnavailable
from openhands_sessions.executor.frames import VERSION, Message, encode

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
    raise ExecutorUnresponsive


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
