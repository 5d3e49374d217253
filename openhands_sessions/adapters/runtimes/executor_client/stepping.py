"""Blocking work of many steps, such as the reading of a large file, off the event loop."""

import asyncio
from collections.abc import Generator
from types import TracebackType
from typing import Generic, TypeVar

from openhands_sessions.adapters.runtimes.threads import ThreadLimiter

Given = TypeVar("Given")
Taken = TypeVar("Taken")


class ThreadedGenerator(Generic[Taken, Given]):
    """A generator whose steps run in threads, one after another: between two steps it holds no thread. The end of the
    block closes it; a step that runs is waited for, also by a caller that is cancelled."""

    def __init__(self, limiter: ThreadLimiter, generator: Generator[Taken, Given | None, None]) -> None:
        self._limiter = limiter
        self._generator = generator

    async def __aenter__(self) -> "ThreadedGenerator[Taken, Given]":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._whole(asyncio.ensure_future(self._limiter.run(self._generator.close)))

    async def take(self, given: Given | None = None) -> Taken | None:
        """What the next step yields; None behind the last one."""
        return await self._whole(asyncio.ensure_future(self._limiter.run(self._next, given)))

    def _next(self, given: Given | None) -> Taken | None:
        try:
            return self._generator.send(given)
        except StopIteration:  # which no future can carry
            return None

    async def _whole(self, step: "asyncio.Future[Taken | None]") -> Taken | None:
        try:
            return await asyncio.shield(step)
        except asyncio.CancelledError:
            await asyncio.wait({step})
            if not step.cancelled():
                step.exception()  # whoever is cancelled does not hear of it
            raise
