"""Files read and written in chunks, so that none need be in memory whole; and those that owners have open."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Awaitable, Callable, Generator, Optional

from .frames import RequestRefused, Send
from .workspace import WorkspaceFolder

CHUNK_SIZE = 256 << 10
"""In bytes."""
Chunks = Generator[Optional[bytes], Optional[bytes], None]
_AT_ONCE = 32


class ArchiveTooLarge(Exception):
    """A folder is over the limits of an archive."""


def open_chunks(workspace: WorkspaceFolder, kind: str, path: str) -> Chunks:
    """A generator for a file to `read` or to `write`, or for a folder as `zip`."""
    if kind == "write":
        return write_chunks(workspace, path)
    if kind == "zip":
        from .archive import ArchiveLimits, zip_chunks  # brings modules that few sandboxes need

        return zip_chunks(workspace, path, ArchiveLimits())
    return read_chunks(workspace, path)


def read_chunks(workspace: WorkspaceFolder, path: str) -> Generator[bytes, bytes | None, None]:
    """Raises OutsidePath, UnfitFile."""
    with workspace.open(path) as file:
        while True:
            piece = file.read(CHUNK_SIZE)
            if not piece:
                return
            yield piece


def write_chunks(workspace: WorkspaceFolder, path: str) -> Generator[None, bytes | None, None]:
    """Takes chunks, then None: without that, nothing is changed. Raises OutsidePath, UnfitFile."""
    with workspace.replace(path) as file:
        while True:
            piece = yield
            if piece is None:
                return
            file.write(piece)


class ThreadedChunks:
    """Chunks whose steps block, and so run in threads, by `run`. A caller that is cancelled waits for the running step
    to end."""

    def __init__(self, chunks: Chunks, run: Callable[..., Awaitable[Any]]) -> None:
        self.ended = asyncio.Event()
        """The last chunk was read or written."""
        self._chunks = chunks
        self._run = run
        self._stepping = asyncio.Lock()

    async def step(self, content: bytes | None = None) -> bytes | None:
        """Write or read one chunk; None after the last one."""
        chunk: bytes | None
        chunk, ended = await self._finish(self._next, content)
        if ended:
            self.ended.set()
        return chunk

    async def close(self) -> None:
        await self._finish(self._chunks.close)

    def _next(self, content: bytes | None) -> tuple[bytes | None, bool]:
        try:
            return self._chunks.send(content), False
        except StopIteration:  # a future cannot carry it
            return None, True

    async def _finish(self, function: Callable[..., Any], *arguments: bytes | None) -> Any:
        async with self._stepping:
            step = asyncio.ensure_future(self._run(function, *arguments))
            try:
                return await asyncio.shield(step)
            except asyncio.CancelledError:
                await asyncio.wait({step})
                if not step.cancelled():
                    step.exception()  # mark it as retrieved: the cancelled caller does not get it
                raise
            finally:
                del step  # its error refers to this frame


class FileStreams:
    """Open files, each by a name that its owner chose."""

    def __init__(self, workspace: WorkspaceFolder) -> None:
        self._workspace = workspace
        self._opened: dict[str, ThreadedChunks] = {}

    async def keep_open(self, name: str, kind: str, path: str, send: Send) -> None:
        """Open a file, send that it is open, and keep it open until its end is read or written. When cancelled, a file
        that was being written stays as it was. Raises OutsidePath, UnfitFile, RequestRefused."""
        if name in self._opened or len(self._opened) >= _AT_ONCE:
            raise RequestRefused("busy", "the name is taken, or too many files are open")
        run = partial(asyncio.get_event_loop().run_in_executor, None)
        stream = self._opened[name] = ThreadedChunks(open_chunks(self._workspace, kind, path), run)
        try:
            if kind == "write":
                await stream.step()
            await send({"piece": {"started": True}})
            await stream.ended.wait()
        finally:
            del self._opened[name]
            await asyncio.shield(stream.close())

    async def step(self, name: str, content: bytes | None) -> bytes | None:
        """Write or read one chunk; None at the end. Raises as `keep_open`."""
        stream = self._opened.get(name)
        if stream is None:
            raise RequestRefused("file_problem", "the file is not open any more")
        return await stream.step(content)

    def end(self, name: str) -> None:
        """Close a file; `keep_open` returns then. A file that was being written stays as it was."""
        stream = self._opened.get(name)
        if stream is not None:
            stream.ended.set()
