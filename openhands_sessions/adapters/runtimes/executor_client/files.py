"""The files of a workspace that only its executor sees."""

import asyncio
import base64
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from openhands_sessions.adapters.runtimes.executor_client.connection import ConnectionLost, ExecutorConnection, Message
from openhands_sessions.adapters.runtimes.executor_client.messages import malformed_answer
from openhands_sessions.core.errors import FileProblem, RuntimeFailure, RuntimeUnavailable, TooLarge

PIECE = 256 << 10
CLOSE_SECONDS = 5.0

KeepAwake = Callable[[], AbstractAsyncContextManager[None]]
Step = Callable[[bytes | None], Awaitable[bytes | None]]


class ExecutorFiles:
    """Asks the executor, which is started for it. `awake` keeps the sandbox awake for the length of its block,
    `started` gives a connection."""

    def __init__(self, awake: KeepAwake, started: Callable[[], Awaitable[ExecutorConnection]]) -> None:
        self._awake = awake
        self._started = started

    async def read(self, path: str, *, limit: int = 1 << 20) -> bytes:
        content = bytearray()
        async with self._opened("read", path) as step:
            while piece := await step(None):
                content += piece
                if len(content) > limit:
                    raise FileProblem(f"{path} is larger than {limit} bytes")
        return bytes(content)

    async def list(self, path: str = "") -> Sequence[str]:
        async with self._awake():
            try:
                names = (await (await self._started()).call("list", {"path": path})).get("names")
            except ConnectionLost:
                raise _gone() from None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise malformed_answer()
        return names

    def pieces(self, path: str) -> AsyncGenerator[bytes, None]:
        return self._taken("read", path)

    def archive(self, path: str = "") -> AsyncGenerator[bytes, None]:
        return self._taken("zip", path)

    async def write(self, path: str, content: bytes) -> None:
        async with self._opened("write", path) as step:
            for start in range(0, len(content), PIECE):
                await step(content[start : start + PIECE])
            await step(None)

    async def receive(self, path: str, pieces: AsyncIterator[bytes], *, limit: int) -> int:
        size = 0
        async with self._opened("write", path) as step:
            async for piece in pieces:
                size += len(piece)
                if size > limit:
                    raise TooLarge(f"{path} is larger than {limit} bytes")
                await step(piece)
            await step(None)
        return size

    async def _taken(self, kind: str, path: str) -> AsyncGenerator[bytes, None]:
        async with self._opened(kind, path) as step:
            while piece := await step(None):
                yield piece

    @asynccontextmanager
    async def _opened(self, kind: str, path: str) -> AsyncIterator[Step]:
        """Open a file for the length of the block; one that was not written to its end stays as it was."""
        async with self._awake():
            link, name = await self._started(), secrets.token_hex(8)
            begun = asyncio.Event()
            body = {"name": name, "kind": kind, "path": path}
            holding = asyncio.create_task(link.call("stream", body, lambda piece: begun.set()))
            holding.add_done_callback(lambda _: begun.set())
            try:
                await begun.wait()
                if holding.done() and not holding.cancelled():
                    await _whole(holding)
                yield lambda given: _step(link, name, given)
            finally:
                await _closed(link, name, holding)


async def _closed(link: ExecutorConnection, name: str, holding: "asyncio.Task[Message]") -> None:
    """Wait until the executor has let go of it: what comes next must not find it half written."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            if not holding.done():
                await link.call("stream_end", {"name": name})
                await asyncio.wait([holding])
    except (ConnectionLost, RuntimeFailure, TimeoutError):
        pass  # it ends with the connection, or with the request
    finally:
        holding.cancel()
        await asyncio.wait([holding])


async def _step(link: ExecutorConnection, name: str, given: bytes | None) -> bytes | None:
    content = None if given is None else base64.b64encode(given).decode()
    try:
        answer = await link.call("stream_step", {"name": name, "content": content})
    except ConnectionLost:
        raise _gone() from None
    return _piece(answer)


def _piece(answer: Message) -> bytes | None:
    content = answer.get("content")
    if content is None:
        return None
    try:
        return base64.b64decode(content, validate=True)
    except (TypeError, ValueError):
        raise malformed_answer() from None


async def _whole(holding: "asyncio.Task[Message]") -> None:
    """Why it could not be opened, if so."""
    try:
        await holding
    except ConnectionLost:
        raise _gone() from None


def _gone() -> RuntimeUnavailable:
    return RuntimeUnavailable("the sandbox ended meanwhile; try again")
