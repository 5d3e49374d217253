"""The way to a connection with an executor: who is there, and whether it answers."""

import asyncio
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Mapping
from pathlib import Path

from openhands_sessions.adapters.runtimes.executor_client.connection import (
    ANSWER_SECONDS,
    ConnectionLost,
    ExecutorConnection,
    ExecutorUnresponsive,
    frame,
    read_frame,
)
from openhands_sessions.adapters.runtimes.executor_client.messages import refusal
from openhands_sessions.core.errors import RuntimeFailure, RuntimeUnavailable
from openhands_sessions.core.events.event import Json

VERSION = 1
CONNECT_SECONDS = 10.0
_CREDENTIALS = struct.Struct("3i")

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect_socket(path: Path, *, term: int | None, seconds: float = ANSWER_SECONDS) -> ExecutorConnection | None:
    """Connect and say hello; None where no process listens. Raises ExecutorUnresponsive where the listener does not
    answer in time or is no executor; RuntimeUnavailable where a newer owner has connected."""
    streams = await _connected(path)
    return None if streams is None else await _greeted(streams, {"term": term}, seconds)


async def connect_port(
    host: str, port: int, *, secret: str, term: int | None, seconds: float = ANSWER_SECONDS
) -> ExecutorConnection | None:
    """As `connect`, over the network, to one that knows the secret."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            streams = await asyncio.open_connection(host, port)
    except ConnectionError:
        return None
    except (TimeoutError, OSError) as error:
        raise RuntimeUnavailable("the sandbox's port cannot be reached; does a firewall keep it shut?") from error
    return await _greeted(streams, {"term": term, "secret": secret}, seconds)


async def is_responsive(connecting: Awaitable[ExecutorConnection | None], seconds: float = ANSWER_SECONDS) -> bool:
    """Whether there is an executor that answers, in time, more than a hello."""
    try:
        async with asyncio.timeout(seconds):
            link = await connecting
            if link is None:
                return False
            try:
                await link.call("status", {})
            finally:
                await link.close()
    except (ExecutorUnresponsive, ConnectionLost, TimeoutError):
        return False
    except RuntimeFailure:
        return True  # it refuses, and so it is there
    return True


async def listener_pid(path: Path) -> int | None:
    """The pid of the listening process, None where none listens. Needs no answer of it. Raises ExecutorUnresponsive."""
    streams = await _connected(path)
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


async def _greeted(streams: _Streams, who: Mapping[str, Json], seconds: float) -> ExecutorConnection | None:
    reader, writer = streams
    try:
        async with asyncio.timeout(seconds):
            writer.write(frame({"op": "hello", "version": VERSION, **who}))
            hello = await read_frame(reader)
    except OSError:  # time is up, too
        hello = {}
    except BaseException:
        writer.close()
        raise
    if hello is not None and hello.get("version") == VERSION:
        return ExecutorConnection(reader, writer, seconds)
    writer.close()
    if hello is None:
        return None  # it is ending
    if "error" in hello:
        raise refusal(str(hello["error"]), str(hello.get("message", "")))
    raise ExecutorUnresponsive


async def _connected(path: Path) -> _Streams | None:
    """Connect to a socket that a sandbox may have put a link in the place of; through its descriptor, for a path is
    limited to 108 bytes."""
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
    except OSError as error:  # it is of another kind, or more wait for it than it can hold
        raise _unusable(error) from error
    finally:
        os.close(descriptor)
    try:
        streams[1].get_extra_info("socket").getpeername()
    except OSError as error:  # which asyncio does not tell
        streams[1].close()
        raise _unusable(error) from error
    return streams


def _unusable(error: OSError) -> ExecutorUnresponsive:
    return ExecutorUnresponsive(f"the sandbox's socket cannot be reached: {error.strerror}")
