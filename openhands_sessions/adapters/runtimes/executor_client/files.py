"""The files of a workspace, chunk by chunk: from its folder, or through the executor where no folder is shared."""

import asyncio
import base64
import secrets
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Literal

from openhands_sessions.adapters.runtimes.executor_client.connection import ConnectionLost, ExecutorConnection
from openhands_sessions.adapters.runtimes.executor_client.messages import malformed_answer
from openhands_sessions.adapters.runtimes.threads import ThreadLimiter
from openhands_sessions.core.errors import FileProblem, PathRefused, RuntimeFailure, RuntimeUnavailable, TooLarge
from openhands_sessions.executor.chunks import CHUNK_SIZE, ArchiveTooLarge, ThreadedChunks, open_chunks
from openhands_sessions.executor.frames import Message
from openhands_sessions.executor.workspace import OutsidePath, UnfitFile, WorkspaceFolder

CLOSE_SECONDS = 5.0

KeepAwake = Callable[[], AbstractAsyncContextManager[None]]
Kind = Literal["read", "write", "zip"]
Step = Callable[[bytes | None], Awaitable[bytes | None]]
"""Takes the next chunk to write, None at the end; or returns the next chunk read, None at the end."""


class WorkspaceFiles(ABC):
    """The port's Workspace, by the chunks of the files that a subclass opens."""

    @abstractmethod
    async def list(self, path: str = "") -> Sequence[str]:
        """The names in a folder."""

    @abstractmethod
    def open(self, kind: Kind, path: str) -> AbstractAsyncContextManager[Step]:
        """Keep a file open for the length of the block; one that was not written to its end stays as it was."""

    async def read(self, path: str, *, limit: int = 1 << 20) -> bytes:
        content = bytearray()
        async with self.open("read", path) as step:
            while chunk := await step(None):
                content += chunk
                if len(content) > limit:
                    raise FileProblem(f"{path} is larger than {limit} bytes")
        return bytes(content)

    def pieces(self, path: str) -> AsyncGenerator[bytes, None]:
        return self._chunks("read", path)

    def archive(self, path: str = "") -> AsyncGenerator[bytes, None]:
        return self._chunks("zip", path)

    async def write(self, path: str, content: bytes) -> None:
        async with self.open("write", path) as step:
            for start in range(0, len(content), CHUNK_SIZE):
                await step(content[start : start + CHUNK_SIZE])
            await step(None)

    async def receive(self, path: str, pieces: AsyncIterator[bytes], *, limit: int) -> int:
        size = 0
        async with self.open("write", path) as step:
            async for chunk in pieces:
                size += len(chunk)
                if size > limit:
                    raise TooLarge(f"{path} is larger than {limit} bytes")
                await step(chunk)
            await step(None)
        return size

    async def _chunks(self, kind: Kind, path: str) -> AsyncGenerator[bytes, None]:
        async with self.open(kind, path) as step:
            while chunk := await step(None):
                yield chunk


class FolderFiles(WorkspaceFiles):
    """The folder itself, whether or not an executor runs."""

    def __init__(self, workspace: WorkspaceFolder, limiter: ThreadLimiter) -> None:
        self._workspace = workspace
        self._limiter = limiter

    async def list(self, path: str = "") -> Sequence[str]:
        with _port_errors():
            return await self._limiter.run(self._workspace.names, path)

    @asynccontextmanager
    async def open(self, kind: Kind, path: str) -> AsyncIterator[Step]:
        with _port_errors():
            chunks = ThreadedChunks(open_chunks(self._workspace, kind, path), self._limiter.run)
            try:
                if kind == "write":
                    await chunks.step()
                yield chunks.step
            finally:
                await chunks.close()


class ExecutorFiles(WorkspaceFiles):
    """`keep_awake` keeps the sandbox awake for the length of its block; `connect` starts the executor where it does not
    run, and returns a connection to it."""

    def __init__(self, keep_awake: KeepAwake, connect: Callable[[], Awaitable[ExecutorConnection]]) -> None:
        self._keep_awake = keep_awake
        self._connect = connect

    async def list(self, path: str = "") -> Sequence[str]:
        async with self._keep_awake():
            with _until_lost():
                names = (await (await self._connect()).call("list", {"path": path})).get("names")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise malformed_answer()
        return names

    @asynccontextmanager
    async def open(self, kind: Kind, path: str) -> AsyncIterator[Step]:
        async with self._keep_awake():
            connection, name = await self._connect(), secrets.token_hex(8)
            opened = asyncio.Event()
            body = {"name": name, "kind": kind, "path": path}
            request = asyncio.create_task(connection.call("stream", body, lambda chunk: opened.set()))
            request.add_done_callback(lambda _: opened.set())
            try:
                await opened.wait()
                if request.done() and not request.cancelled():
                    with _until_lost():
                        await request  # raises why the file could not be opened
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
    with _until_lost():
        answer = (await connection.call("stream_step", {"name": name, "content": encoded})).get("content")
    try:
        return None if answer is None else base64.b64decode(answer, validate=True)
    except (TypeError, ValueError):
        raise malformed_answer() from None


@contextmanager
def _until_lost() -> Iterator[None]:
    try:
        yield
    except ConnectionLost:
        raise RuntimeUnavailable("the sandbox ended meanwhile; try again") from None


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
