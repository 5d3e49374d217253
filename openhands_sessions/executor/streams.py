"""Files that are read and written in chunks, each open for as long as the request that opened it."""

from __future__ import annotations

import asyncio
from typing import Awaitable, Callable

from .chunks import Chunks, open_chunks
from .frames import Message, RequestRefused
from .workspace import WorkspaceFolder

_AT_ONCE = 32

Send = Callable[[Message], Awaitable[None]]


class FileStreams:
    """Open files, each by a name that its owner chose. Each step runs in a thread, because it blocks."""

    def __init__(self, workspace: WorkspaceFolder) -> None:
        self._workspace = workspace
        self._opened: dict[str, _Stream] = {}

    async def keep_open(self, name: str, kind: str, path: str, send: Send) -> None:
        """Open a file, send that it is open, and keep it open until its end is read or written. When cancelled, a file
        that was being written stays as it was. Raises OutsidePath, UnfitFile, RequestRefused."""
        if name in self._opened or len(self._opened) >= _AT_ONCE:
            raise RequestRefused("busy", "the name is taken, or too many files are open")
        stream = self._opened[name] = _Stream(open_chunks(self._workspace, kind, path))
        try:
            if kind == "write":
                await stream.step(None)
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


class _Stream:
    def __init__(self, chunks: Chunks) -> None:
        self.ended = asyncio.Event()
        self._chunks = chunks
        self._stepping = asyncio.Lock()

    async def step(self, content: bytes | None) -> bytes | None:
        async with self._stepping:
            step = asyncio.get_event_loop().run_in_executor(None, self._next, content)
            try:
                await asyncio.wait([step])  # a thread cannot be cancelled
            finally:
                if not step.done():
                    await asyncio.wait([step])
            drain, ended = step.result()
            if ended:
                self.ended.set()
            return drain

    async def close(self) -> None:
        async with self._stepping:
            await asyncio.get_event_loop().run_in_executor(None, self._chunks.close)

    def _next(self, content: bytes | None) -> tuple[bytes | None, bool]:
        try:
            return self._chunks.send(content), False
        except StopIteration:  # a future cannot carry it
            return None, True
