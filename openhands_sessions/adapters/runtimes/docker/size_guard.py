"""Ends a sandbox whose folders grow over their limit."""

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
_MEASURE_EVERY = 5.0
_REST_FACTOR = 20.0
"""The pause after a measurement, as a multiple of its duration."""
_ANSWER_SECONDS = 40.0
_SLACK = 1 << 20
"""Bytes by which a sandbox over its limit may grow: its executor writes a journal."""
_DU = ("nice", "du", "-s", "-x", "--block-size=1")


class SizeGuard:
    """Measures a sandbox periodically while it can write, because engines offer quotas on few file systems. A sandbox
    may write more than `limit` bytes until the next measurement, and is ended then. It may keep what it holds by then,
    and may make it smaller. `concurrency` bounds how many sandboxes are measured at once."""

    def __init__(
        self, measure: Measure, limit: int, concurrency: asyncio.Semaphore, *, every: float = _MEASURE_EVERY
    ) -> None:
        self.times_full = 0
        self.times_reported = 0
        """How many of these times its conversation was told."""
        self._measure = measure
        self._limit = limit
        self._allowed = limit
        self._concurrency = concurrency
        self._every = every
        self._watching: asyncio.Task[None] | None = None

    def start(self, on_full: Callable[[], Awaitable[None]]) -> None:
        """`on_full` ends all that can write, and raises RuntimeFailure where it cannot."""
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch(on_full), name="size guard")

    async def stop(self) -> None:
        """For a sandbox that cannot write now."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.wait([watching])

    async def wait_until_full(self) -> int:
        """Returns the size when it is over the limit."""
        wait = self._every
        while True:
            await asyncio.sleep(wait)
            async with self._concurrency:
                began = time.monotonic()
                size = await self._measure()
                took = time.monotonic() - began
            if size > self._allowed:
                return size
            self._allowed = max(self._limit, min(self._allowed, size + _SLACK))
            wait = max(self._every, _REST_FACTOR * took)

    async def accept_size(self) -> None:
        """Call it once all that can write was ended: what was written between the measurement and the end may stay."""
        async with self._concurrency:
            self._allowed = max(self._allowed, await self._measure() + _SLACK)

    async def _watch(self, on_full: Callable[[], Awaitable[None]]) -> None:
        while True:
            size = await self.wait_until_full()
            before, self._allowed = self._allowed, size + _SLACK
            self.times_full += 1
            try:
                await on_full()
            except RuntimeFailure as error:
                log.warning("a sandbox that holds too much could not be ended", problem=error.message)
                self._allowed = before


def folder_size(folder: Path) -> Measure:
    """The size of a folder; 0 where it cannot be measured."""

    async def measure() -> int:
        try:
            process = await asyncio.create_subprocess_exec(
                *_DU,
                str(folder),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
        except OSError:
            return 0
        try:
            printed, _ = await process.communicate()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        return _sum(printed)

    return measure


def size_in_sandbox(ask: Callable[[Query], Awaitable[Printed]], *folders: str) -> Measure:
    """The size of folders inside a sandbox, as its own `du` says; 0 where it does not answer."""

    async def measure() -> int:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return _sum((await ask(Query(words=(*_DU, *folders)))).output)
        except (RuntimeFailure, TimeoutError):
            return 0

    return measure


def _sum(printed: bytes) -> int:
    sizes = [line.split(b"\t", 1)[0] for line in printed.splitlines()]
    return sum(int(size) for size in sizes if size.isdigit())
