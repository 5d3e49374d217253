"""Notices when a sandbox's folders grow beyond what they may hold."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from openhands_sessions.core.errors import RuntimeFailure
from openhands_sessions.ports.runtime import Printed, Query

Measure = Callable[[], Awaitable[int]]
"""In bytes."""
_LOOK_EVERY = 5.0
_REST = 20.0
"""How many times as long as a look took nothing is looked at."""
_MEASURE = ("nice", "du", "-s", "-x", "--block-size=1")


class SizeGuard:
    """Looks now and then, while a command runs: engines offer no quota on every file system. So a command may write a
    little more than `limit` bytes before it is noticed. One that makes things smaller is left alone."""

    def __init__(self, measure: Measure, limit: int, *, look_every: float = _LOOK_EVERY) -> None:
        self._measure = measure
        self._limit = limit
        self._look_every = look_every
        self._last = limit

    async def exceeded(self) -> None:
        """Return when there is more than may be, and more than there was."""
        wait = self._look_every
        while True:
            await asyncio.sleep(wait)
            began = time.monotonic()
            size = await self._measure()
            if size > max(self._limit, self._last):
                self._last = size
                return
            self._last = max(size, self._limit)
            wait = max(self._look_every, _REST * (time.monotonic() - began))


def size_of(folder: Path) -> Measure:
    """What a folder holds; 0 where it cannot be told."""

    async def measured() -> int:
        try:
            process = await asyncio.create_subprocess_exec(
                *_MEASURE,
                str(folder),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
        except OSError:
            return 0
        try:
            said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        return _sum(said)

    return measured


def size_inside(ask: Callable[[Query], Awaitable[Printed]], *folders: str) -> Measure:
    """What folders of a sandbox hold, as it says itself; 0 where it cannot be told."""

    async def measured() -> int:
        try:
            return _sum((await ask(Query(words=(*_MEASURE, *folders)))).output)
        except RuntimeFailure:
            return 0

    return measured


def _sum(said: bytes) -> int:
    sizes = [line.split(b"\t", 1)[0] for line in said.splitlines()]
    return sum(int(size) for size in sizes if size.isdigit())
