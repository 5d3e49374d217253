"""Programs beside the shell: they know nothing of its folder and variables, and wait for no command."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass, field
from typing import AsyncIterator

from .processes import Reaper, descendants, signal_all

_AT_ONCE = 8
_PIECE = 64 << 10


@dataclass(frozen=True)
class Program:
    """What is to be run: words, a real folder, and what is added to our own environment."""

    words: list[str]
    cwd: str
    environment: dict[str, str] = field(default_factory=dict)


class Programs:
    """Runs programs, each in a session of its own, and leaves nothing of them behind."""

    def __init__(self, reaper: Reaper) -> None:
        self._reaper = reaper
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def query(self, program: Program, timeout: float, limit: int) -> tuple[int | None, bytes]:
        """What it printed, at most `limit` bytes, and its exit code: None where it was ended for printing more, or for
        running longer than `timeout` seconds. Raises OSError where it cannot be started."""
        async with self._room, self.started(program, subprocess.DEVNULL) as (process, ended):
            return await self._printed(process, ended, timeout, limit)

    @contextlib.asynccontextmanager
    async def started(
        self, program: Program, stdin: int
    ) -> AsyncIterator[tuple[subprocess.Popen[bytes], asyncio.Future[int]]]:
        """A program and its exit code to come; the end of the block ends it with all that it started."""
        process = _begun(program, stdin)
        ended = self._reaper.watch(process.pid, apart=True)
        try:
            yield process, ended
        finally:
            signal_all(descendants([process.pid]) if not ended.done() else [], signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.returncode = await asyncio.shield(ended)

    async def _printed(
        self, process: subprocess.Popen[bytes], ended: asyncio.Future[int], timeout: float, limit: int
    ) -> tuple[int | None, bytes]:
        printed = bytearray()

        async def read() -> int | None:
            async with reading(process) as reader:
                while len(printed) <= limit:
                    piece = await reader.read(_PIECE)
                    if not piece:
                        return await asyncio.shield(ended)
                    printed.extend(piece)
            return None

        code = None
        with contextlib.suppress(asyncio.TimeoutError):
            code = await asyncio.wait_for(read(), timeout)
        return code, bytes(printed[:limit])


def _begun(program: Program, stdin: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        program.words,
        cwd=program.cwd,
        env={**os.environ, **program.environment},
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@contextlib.asynccontextmanager
async def reading(process: subprocess.Popen[bytes], limit: int = _PIECE) -> AsyncIterator[asyncio.StreamReader]:
    """What it prints, as a stream."""
    loop = asyncio.get_event_loop()
    reader = asyncio.StreamReader(limit=limit)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), process.stdout)
    try:
        yield reader
    finally:
        transport.close()
