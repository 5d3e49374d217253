"""Notices when a sandbox's folders grow beyond what they may hold."""

import asyncio
import contextlib
import time
from pathlib import Path

_LOOK_EVERY = 5.0
_REST = 20.0
"""How many times as long as a look took nothing is looked at."""
_MEASURE = ("nice", "du", "-s", "-x", "--block-size=1")


class SizeGuard:
    """Looks now and then, while a command runs: engines offer no quota on every file system. So a command may write a
    little more than `limit` bytes before it is noticed. One that makes things smaller is left alone."""

    def __init__(self, folder: Path, limit: int, *, look_every: float = _LOOK_EVERY) -> None:
        self._folder = folder
        self._limit = limit
        self._look_every = look_every
        self._last = limit

    async def exceeded(self) -> None:
        """Return when there is more than may be, and more than there was."""
        wait = self._look_every
        while True:
            await asyncio.sleep(wait)
            began = time.monotonic()
            size = await self._measured()
            if size > max(self._limit, self._last):
                self._last = size
                return
            self._last = max(size, self._limit)
            wait = max(self._look_every, _REST * (time.monotonic() - began))

    async def _measured(self) -> int:
        """In bytes; 0 where it cannot be told."""
        try:
            process = await asyncio.create_subprocess_exec(
                *_MEASURE,
                str(self._folder),
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
        number = said.split(b"\t", 1)[0]
        return int(number) if number.isdigit() else 0
