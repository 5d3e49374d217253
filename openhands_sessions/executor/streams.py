"""Files that are read and written piece by piece, for as long as the request that opened them."""

from __future__ import annotations

import asyncio
from typing import Awaitable, Callable

from .archive import ArchiveLimits, packed
from .frames import Message, Refusal
from .pieces import Pieces, reading, writing
from .workspace import Workspace

_AT_ONCE = 32

Tell = Callable[[Message], Awaitable[None]]


class Streams:
    """Each by a name that its owner gave it. A step blocks, so it is done in a thread."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._opened: dict[str, _Stream] = {}

    async def hold(self, name: str, kind: str, path: str, tell: Tell) -> None:
        """Open it, tell so, and keep it until the end of it was taken. Being cancelled closes it: what was being
        written is then as it was. Raises OutsidePath, UnfitFile, Refusal."""
        if name in self._opened or len(self._opened) >= _AT_ONCE:
            raise Refusal("busy", "the name is taken, or too many files are open")
        stream = self._opened[name] = _Stream(self._pieces(kind, path))
        try:
            if kind == "write":
                await stream.step(None)
            await tell({"piece": {"started": True}})
            await stream.ended.wait()
        finally:
            del self._opened[name]
            await asyncio.shield(stream.close())

    async def step(self, name: str, given: bytes | None) -> bytes | None:
        """Give it a piece, or take one; None for the end, in both ways. Raises as `hold`."""
        stream = self._opened.get(name)
        if stream is None:
            raise Refusal("file_problem", "the file is not open any more")
        return await stream.step(given)

    def end(self, name: str) -> None:
        """Have it closed; `hold` returns when it is. What was being written is then as it was."""
        stream = self._opened.get(name)
        if stream is not None:
            stream.ended.set()

    def _pieces(self, kind: str, path: str) -> Pieces:
        if kind == "write":
            return writing(self._workspace, path)
        if kind == "zip":
            return packed(self._workspace, path, ArchiveLimits())
        return reading(self._workspace, path)


class _Stream:
    def __init__(self, pieces: Pieces) -> None:
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
            taken, ended = step.result()
            if ended:
                self.ended.set()
            return taken

    async def close(self) -> None:
        async with self._stepping:
            await asyncio.get_event_loop().run_in_executor(None, self._pieces.close)

    def _next(self, given: bytes | None) -> tuple[bytes | None, bool]:
        try:
            return self._pieces.send(given), False
        except StopIteration:  # which no future can carry
            return None, True
