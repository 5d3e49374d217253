"""Blocking calls in threads, off the event loop and few at a time."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from openhands_sessions.core.errors import RuntimeUnavailable

P = ParamSpec("P")
T = TypeVar("T")


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
