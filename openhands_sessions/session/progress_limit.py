"""A time limit that restarts whenever the work makes progress."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class ProgressLimit:
    """Counts from the last progress. For one piece of work at a time; without one, nothing is limited."""

    def __init__(self) -> None:
        self._timeout: asyncio.Timeout | None = None
        self._seconds = 0.0

    @asynccontextmanager
    async def running(self, seconds: float) -> AsyncIterator[None]:
        """Raises TimeoutError after so many seconds without progress."""
        self._seconds = seconds
        try:
            async with asyncio.timeout(seconds) as self._timeout:
                yield
        finally:
            self._timeout = None

    def renew(self) -> None:
        """The work has got on, or goes on after a pause."""
        self._move(asyncio.get_running_loop().time() + self._seconds)

    def pause(self) -> None:
        """The work waits for others, which have limits of their own."""
        self._move(None)

    def _move(self, when: float | None) -> None:
        if self._timeout is not None and not self._timeout.expired():  # or the cancel is under way already
            self._timeout.reschedule(when)
