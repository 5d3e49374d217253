"""The files of a workspace: in its folder on this machine, or through the executor where no folder is shared."""

import asyncio
import base64
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import ParamSpec, TypeVar

from openhands_sessions.adapters.runtimes.executor_client.connection import ConnectionLost, ExecutorConnection
from openhands_sessions.adapters.runtimes.executor_client.messages import malformed_answer
from openhands_sessions.adapters.runtimes.threads import ThreadedGenerator, ThreadLimiter
from openhands_sessions.core.errors import FileProblem, PathRefused, RuntimeFailure, RuntimeUnavailable, TooLarge
from openhands_sessions.executor.chunks import (
    CHUNK_SIZE,
    ArchiveLimits,
    ArchiveTooLarge,
    read_chunks,
    write_chunks,
    zip_chunks,
)
from openhands_sessions.executor.frames import Message
from openhands_sessions.executor.workspace import OutsidePath, UnfitFile, WorkspaceFolder

CLOSE_SECONDS = 5.0

P = ParamSpec("P")
T = TypeVar("T")
KeepAwake = Callable[[], AbstractAsyncContextManager[None]]
Step = Callable[[bytes | None], Awaitable[bytes | None]]


class FolderFiles:
    """Reads and writes the folder itself, whether or not an executor runs."""

    def __init__(
        self, workspace: WorkspaceFolder, limiter: ThreadLimiter, archives: ArchiveLimits | None = None
    ) -> None:
        self._workspace = workspace
        self._limiter = limiter
        self._archives = archives or ArchiveLimits()

    async def read(self, path: str, *, limit: int = 1 << 20) -> bytes:
        return await self._run(self._workspace.read, path, limit=limit)

    async def list(self, path: str = "") -> Sequence[str]:
        return await self._run(self._workspace.names, path)

    def pieces(self, path: str) -> AsyncGenerator[bytes, None]:
        return self._chunks(read_chunks(self._workspace, path))

    def archive(self, path: str = "") -> AsyncGenerator[bytes, None]:
        return self._chunks(zip_chunks(self._workspace, path, self._archives))

    async def write(self, path: str, content: bytes) -> None:
        await self._run(self._workspace.write, path, content)

    async def receive(self, path: str, pieces: AsyncIterator[bytes], *, limit: int) -> int:
        size = 0
        with _port_errors():
            async with ThreadedGenerator(self._limiter, write_chunks(self._workspace, path)) as target:
                await target.send()
                async for chunk in pieces:
                    size += len(chunk)
                    if size > limit:
                        raise _too_large(path, limit)
                    await target.send(chunk)
                await target.send(None)
        return size

    async def _chunks(self, generator: Generator[bytes, None, None]) -> AsyncGenerator[bytes, None]:
        with _port_errors():
            async with ThreadedGenerator[bytes, None](self._limiter, generator) as source:
                while (chunk := await source.send()) is not None:
                    yield chunk

    async def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        with _port_errors():
            return await self._limiter.run(function, *args, **kwargs)


class ExecutorFiles:
    """`keep_awake` keeps the sandbox awake for the length of its block; `connect` starts the executor where it does not
    run, and returns a connection to it."""

    def __init__(self, keep_awake: KeepAwake, connect: Callable[[], Awaitable[ExecutorConnection]]) -> None:
        self._keep_awake = keep_awake
        self._connect = connect

    async def read(self, path: str, *, limit: int = 1 << 20) -> bytes:
        content = bytearray()
        async with self._open("read", path) as step:
            while chunk := await step(None):
                content += chunk
                if len(content) > limit:
                    raise FileProblem(f"{path} is larger than {limit} bytes")
        return bytes(content)

    async def list(self, path: str = "") -> Sequence[str]:
        async with self._keep_awake():
            try:
                names = (await (await self._connect()).call("list", {"path": path})).get("names")
            except ConnectionLost:
                raise _sandbox_ended() from None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise malformed_answer()
        return names

    def pieces(self, path: str) -> AsyncGenerator[bytes, None]:
        return self._chunks("read", path)

    def archive(self, path: str = "") -> AsyncGenerator[bytes, None]:
        return self._chunks("zip", path)

    async def write(self, path: str, content: bytes) -> None:
        async with self._open("write", path) as step:
            for start in range(0, len(content), CHUNK_SIZE):
                await step(content[start : start + CHUNK_SIZE])
            await step(None)

    async def receive(self, path: str, pieces: AsyncIterator[bytes], *, limit: int) -> int:
        size = 0
        async with self._open("write", path) as step:
            async for chunk in pieces:
                size += len(chunk)
                if size > limit:
                    raise _too_large(path, limit)
                await step(chunk)
            await step(None)
        return size

    async def _chunks(self, kind: str, path: str) -> AsyncGenerator[bytes, None]:
        async with self._open(kind, path) as step:
            while chunk := await step(None):
                yield chunk

    @asynccontextmanager
    async def _open(self, kind: str, path: str) -> AsyncIterator[Step]:
        """Keep a file open for the length of the block; one that was not written to its end stays as it was."""
        async with self._keep_awake():
            connection, name = await self._connect(), secrets.token_hex(8)
            opened = asyncio.Event()
            body = {"name": name, "kind": kind, "path": path}
            request = asyncio.create_task(connection.call("stream", body, lambda chunk: opened.set()))
            request.add_done_callback(lambda _: opened.set())
            try:
                await opened.wait()
                if request.done() and not request.cancelled():
                    await _raise_refusal(request)
                yield lambda content: _step(connection, name, content)
            finally:
                await _close(connection, name, request)


async def _close(connection: ExecutorConnection, name: str, request: "asyncio.Task[Message]") -> None:
    """Wait until the executor has closed the file: the next access must not find it half written."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            if not request.done():
                await connection.call("stream_end", {"name": name})
                await asyncio.wait([request])
    except (ConnectionLost, RuntimeFailure, TimeoutError):
        pass  # the file is closed with the connection, or with the request
    finally:
        request.cancel()
        await asyncio.wait([request])


async def _step(connection: ExecutorConnection, name: str, content: bytes | None) -> bytes | None:
    encoded = None if content is None else base64.b64encode(content).decode()
    try:
        answer = (await connection.call("stream_step", {"name": name, "content": encoded})).get("content")
    except ConnectionLost:
        raise _sandbox_ended() from None
    try:
        return None if answer is None else base64.b64decode(answer, validate=True)
    except (TypeError, ValueError):
        raise malformed_answer() from None


async def _raise_refusal(request: "asyncio.Task[Message]") -> None:
    """Raise why the file could not be opened."""
    try:
        await request
    except ConnectionLost:
        raise _sandbox_ended() from None


def _sandbox_ended() -> RuntimeUnavailable:
    return RuntimeUnavailable("the sandbox ended meanwhile; try again")


def _too_large(path: str, limit: int) -> TooLarge:
    return TooLarge(f"{path} is larger than {limit} bytes")


@contextmanager
def _port_errors() -> Iterator[None]:
    """Errors of the shared file code as the port's errors."""
    try:
        yield
    except OutsidePath as error:
        raise PathRefused(str(error)) from None
    except UnfitFile as error:
        raise FileProblem(str(error)) from None
    except ArchiveTooLarge as error:
        raise TooLarge(str(error)) from None
