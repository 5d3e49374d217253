"""Notices when a sandbox's folders grow beyond what they may hold."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from openhands_sessions.core.errors import RuntimeFailure
from openhands_sessions.ports.runtime import Printed, Query

log = structlog.get_logger(__name__)

Measure = Callable[[], Awaitable[int]]
"""In bytes."""
_LOOK_EVERY = 5.0
_REST = 20.0
"""How many times as long as a look took nothing is looked at."""
_ANSWER_SECONDS = 40.0
_SLACK = 1 << 20
"""Bytes by which one that holds too much may grow: an executor writes down what it does."""
_MEASURE = ("nice", "du", "-s", "-x", "--block-size=1")


class SizeGuard:
    """Looks now and then, while a sandbox can write: engines offer no quota on every file system. So it may write a
    little more than `limit` bytes before that is noticed, and is ended then. What it holds by then it may keep, or
    make smaller. `looking` bounds how many are looked at together."""

    def __init__(
        self, measure: Measure, limit: int, looking: asyncio.Semaphore, *, look_every: float = _LOOK_EVERY
    ) -> None:
        self.times_full = 0
        self.told = 0
        """Of these times, how many its conversation was told."""
        self._measure = measure
        self._limit = limit
        self._allowed = limit
        self._looking = looking
        self._look_every = look_every
        self._watching: asyncio.Task[None] | None = None

    def watch(self, on_full: Callable[[], Awaitable[None]]) -> None:
        """From now on; `on_full` is to end all that could write, and may raise RuntimeFailure where it could not."""
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch(on_full), name="size guard")

    async def rest(self) -> None:
        """Look no longer: nothing can write."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.wait([watching])

    async def exceeded(self) -> int:
        """Return when there is more than may be, and how much."""
        wait = self._look_every
        while True:
            await asyncio.sleep(wait)
            async with self._looking:
                began = time.monotonic()
                size = await self._measure()
                took = time.monotonic() - began
            if size > self._allowed:
                return size
            self._allowed = max(self._limit, min(self._allowed, size + _SLACK))
            wait = max(self._look_every, _REST * took)

    async def _watch(self, on_full: Callable[[], Awaitable[None]]) -> None:
        while True:
            size = await self.exceeded()
            before, self._allowed = self._allowed, size + _SLACK
            self.times_full += 1
            try:
                await on_full()
            except RuntimeFailure as error:
                log.warning("a sandbox that holds too much could not be ended", problem=error.message)
                self._allowed = before


def folder_size(folder: Path) -> Measure:
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


def size_in_sandbox(ask: Callable[[Query], Awaitable[Printed]], *folders: str) -> Measure:
    """What folders of a sandbox hold, as it says itself; 0 where it cannot be told."""

    async def measured() -> int:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return _sum((await ask(Query(words=(*_MEASURE, *folders)))).output)
        except (RuntimeFailure, TimeoutError):
            return 0

    return measured


def _sum(said: bytes) -> int:
    sizes = [line.split(b"\t", 1)[0] for line in said.splitlines()]
    return sum(int(size) for size in sizes if size.isdigit())
