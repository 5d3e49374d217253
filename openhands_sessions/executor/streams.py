"""Files that are read and written piece by piece, for as long as the request that opened them."""

from __future__ import annotations

import asyncio
from typing import Awaitable, Callable

from .chunks import ArchiveLimits, Chunks, read_chunks, write_chunks, zip_chunks
from .frames import Message, RequestRefused
from .workspace import WorkspaceFolder

_AT_ONCE = 32

Send = Callable[[Message], Awaitable[None]]


class FileStreams:
    """Each by a name that its owner gave it. A step blocks, so it is done in a thread."""

    def __init__(self, workspace: WorkspaceFolder) -> None:
        self._workspace = workspace
        self._opened: dict[str, _Stream] = {}

    async def keep_open(self, name: str, kind: str, path: str, send: Send) -> None:
        """Open it, tell so, and keep it until the end of it was taken. Being cancelled closes it: what was being
        written is then as it was. Raises OutsidePath, UnfitFile, Refusal."""
        if name in self._opened or len(self._opened) >= _AT_ONCE:
            raise RequestRefused("busy", "the name is taken, or too many files are open")
        stream = self._opened[name] = _Stream(self._pieces(kind, path))
        try:
            if kind == "write":
                await stream.step(None)
            await send({"piece": {"started": True}})
            await stream.ended.wait()
        finally:
            del self._opened[name]
            await asyncio.shield(stream.close())

    async def step(self, name: str, given: bytes | None) -> bytes | None:
        """Give it a piece, or take one; None for the end, in both ways. Raises as `hold`."""
        stream = self._opened.get(name)
        if stream is None:
            raise RequestRefused("file_problem", "the file is not open any more")
        return await stream.step(given)

    def end(self, name: str) -> None:
        """Have it closed; `hold` returns when it is. What was being written is then as it was."""
        stream = self._opened.get(name)
        if stream is not None:
            stream.ended.set()

    def _pieces(self, kind: str, path: str) -> Chunks:
        if kind == "write":
            return write_chunks(self._workspace, path)
        if kind == "zip":
            return zip_chunks(self._workspace, path, ArchiveLimits())
        return read_chunks(self._workspace, path)


class _Stream:
    def __init__(self, pieces: Chunks) -> None:
        self.ended = asyncio.Event()
        self._pieces = pieces
        self._stepping = asyncio.Lock()

    async def step(self, given: bytes | None) -> bytes | None:
        async with self._stepping:
            step = asyncio.get_event_loop().run_in_executor(None, self._next, given)
            try:
                await asyncio.wait([step])  # a step cannot be taken back
            finally:
                if not step.done():
                    await asyncio.wait([step])
            drain, ended = step.result()
            if ended:
                self.ended.set()
            return drain

    async def close(self) -> None:
        async with self._stepping:
            await asyncio.get_event_loop().run_in_executor(None, self._pieces.close)

    def _next(self, given: bytes | None) -> tuple[bytes | None, bool]:
        try:
            return self._pieces.send(given), False
        except StopIteration:  # which no future can carry
            return None, True
