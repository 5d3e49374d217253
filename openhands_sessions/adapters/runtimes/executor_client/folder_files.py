"""The files of a workspace whose folder lies on this machine."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from openhands_sessions.adapters.runtimes.executor_client.stepping import ThreadedGenerator
from openhands_sessions.adapters.runtimes.threads import ThreadLimiter
from openhands_sessions.core.errors import FileProblem, PathRefused, TooLarge
from openhands_sessions.executor.archive import ArchiveLimits, TooMuch, packed
from openhands_sessions.executor.pieces import reading, writing
from openhands_sessions.executor.workspace import OutsidePath, UnfitFile, Workspace

P = ParamSpec("P")
T = TypeVar("T")


class FolderFiles:
    """Reads and writes the folder itself, whether or not an executor runs."""

    def __init__(self, workspace: Workspace, limiter: ThreadLimiter, archives: ArchiveLimits | None = None) -> None:
        self._workspace = workspace
        self._limiter = limiter
        self._archives = archives or ArchiveLimits()

    async def read(self, path: str, *, limit: int = 1 << 20) -> bytes:
        return await self._run(self._workspace.read, path, limit=limit)

    async def list(self, path: str = "") -> Sequence[str]:
        return await self._run(self._workspace.names, path)

    def pieces(self, path: str) -> AsyncGenerator[bytes, None]:
        return self._taken(reading(self._workspace, path))

    def archive(self, path: str = "") -> AsyncGenerator[bytes, None]:
        return self._taken(packed(self._workspace, path, self._archives))

    async def write(self, path: str, content: bytes) -> None:
        await self._run(self._workspace.write, path, content)

    async def receive(self, path: str, pieces: AsyncIterator[bytes], *, limit: int) -> int:
        size = 0
        with _told():
            async with ThreadedGenerator(self._limiter, writing(self._workspace, path)) as steps:
                await steps.take()
                async for piece in pieces:
                    size += len(piece)
                    if size > limit:
                        raise TooLarge(f"{path} is larger than {limit} bytes")
                    await steps.take(piece)
                await steps.take(None)
        return size

    async def _taken(self, generator: Generator[bytes, None, None]) -> AsyncGenerator[bytes, None]:
        with _told():
            async with ThreadedGenerator[bytes, None](self._limiter, generator) as steps:
                while (piece := await steps.take()) is not None:
                    yield piece

    async def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        with _told():
            return await self._limiter.run(function, *args, **kwargs)


@contextmanager
def _told() -> Iterator[None]:
    """Problems by the names that callers know."""
    try:
        yield
    except OutsidePath as error:
        raise PathRefused(str(error)) from None
    except UnfitFile as error:
        raise FileProblem(str(error)) from None
    except TooMuch as error:
        raise TooLarge(str(error)) from None
