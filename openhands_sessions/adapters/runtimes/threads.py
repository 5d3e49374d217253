"""Blocking calls in threads, off the event loop and few at a time."""

import asyncio
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Generic, ParamSpec, TypeVar

from openhands_sessions.core.errors import RuntimeUnavailable

P = ParamSpec("P")
T = TypeVar("T")
Sent = TypeVar("Sent")
Yielded = TypeVar("Yielded")


class ThreadLimiter:
    """Runs functions in threads, at most `slots` at once."""

    def __init__(self, slots: int) -> None:
        self._slots = asyncio.Semaphore(slots)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        async with self._slots:
            return await asyncio.to_thread(function, *args, **kwargs)

    async def use_folder(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """For functions that use the folder of a sandbox: raises RuntimeUnavailable in place of OSError."""
        try:
            return await self.run(function, *args, **kwargs)
        except OSError as error:
            raise RuntimeUnavailable(f"the sandbox's folder cannot be used: {error.strerror}") from error


class ThreadedGenerator(Generic[Yielded, Sent]):
    """A blocking generator, such as one that reads a large file. Each step runs in a thread; between two steps it holds
    none. The end of the block closes the generator. A caller that is cancelled waits for the running step to end."""

    def __init__(self, limiter: ThreadLimiter, generator: Generator[Yielded, Sent | None, None]) -> None:
        self._limiter = limiter
        self._generator = generator

    async def __aenter__(self) -> "ThreadedGenerator[Yielded, Sent]":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._finish(asyncio.ensure_future(self._limiter.run(self._generator.close)))

    async def send(self, value: Sent | None = None) -> Yielded | None:
        """What the next step yields; None after the last one."""
        return await self._finish(asyncio.ensure_future(self._limiter.run(self._step, value)))

    def _step(self, value: Sent | None) -> Yielded | None:
        try:
            return self._generator.send(value)
        except StopIteration:  # a future cannot carry it
            return None

    async def _finish(self, step: "asyncio.Future[Yielded | None]") -> Yielded | None:
        try:
            return await asyncio.shield(step)
        except asyncio.CancelledError:
            await asyncio.wait({step})
            if not step.cancelled():
                step.exception()  # mark it as retrieved: the cancelled caller does not get it
            raise
