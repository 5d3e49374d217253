"""Programs beside the shell: they do not see its folder and variables, and do not wait for its commands."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from typing import AsyncIterator, NamedTuple

from .frames import RequestRefused, Send
from .pipes import LinePiece, ProgramInput, ProgramOutput
from .processes import ChildReaper, descendants, signal_all, signal_group

_QUERIES_AT_ONCE = 8
_SESSIONS_AT_ONCE = 64
_PIECE = 64 << 10


class Program(NamedTuple):
    """Words, a real folder, and what is added to the executor's own environment."""

    words: list[str]
    cwd: str
    environment: dict[str, str] = {}


class ProgramRunner:
    """Runs programs, each in a session of its own, and kills all that they leave running."""

    def __init__(self, reaper: ChildReaper) -> None:
        self._reaper = reaper
        self._room = asyncio.Semaphore(_QUERIES_AT_ONCE)
        self._spoken_to: dict[str, tuple[ProgramInput, ProgramOutput]] = {}  # by the owner's names

    async def query(self, program: Program, timeout: float, limit: int) -> tuple[int | None, bytes]:
        """The exit code and the output, at most `limit` bytes; None for the code where it was ended for printing more,
        or for running longer than `timeout` seconds. Raises OSError where it cannot be started."""
        async with self._room, self._started(program, subprocess.DEVNULL) as (process, ended):
            printed = bytearray()

            async def read() -> int | None:
                async with _read_chunks(process) as reader:
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

    async def run(self, name: str, program: Program, send: Send, window: int | None) -> tuple[int, list[str]]:
        """Run a program and send the lines that it prints, as far as the `window` has room for them, until it ends or
        prints one without end; returns its exit code, and the keys of the lines that it never read. Cancelling kills
        it and its descendants. Raises OSError where it cannot be started."""
        if name in self._spoken_to or len(self._spoken_to) >= _SESSIONS_AT_ONCE:
            raise RequestRefused("busy", "the name is taken, or too many programs are spoken to")
        output, given = ProgramOutput(send, window), ProgramInput()
        try:
            async with self._started(program, given.reading_end) as (process, ended):
                self._spoken_to[name] = (given, output)
                try:
                    async with _read_chunks(process) as reader:
                        await send({"piece": {"started": True}})
                        await output.forward(reader, _PIECE)
                finally:
                    del self._spoken_to[name]
                if not ended.done():  # Popen.kill would reap it, and `ended` never be
                    signal_all([process.pid], signal.SIGKILL)
                code = await asyncio.shield(ended)
            return code, given.unread()
        finally:
            given.close()

    async def write(self, name: str, piece: LinePiece) -> bool:
        """Give a program a piece of a line; False where it has ended and will never get it."""
        return name in self._spoken_to and await self._spoken_to[name][0].add(piece)

    def grant(self, name: str, room: int) -> None:
        """The owner has room for more of a program's output."""
        if name in self._spoken_to:
            self._spoken_to[name][1].grant(room)

    @contextlib.asynccontextmanager
    async def _started(
        self, program: Program, stdin: int
    ) -> AsyncIterator[tuple[subprocess.Popen[bytes], asyncio.Future[int]]]:
        """A program and the future of its exit code; the end of the block kills it and its descendants."""
        process = _start(program, stdin)
        ended = self._reaper.watch(process.pid, apart=True)
        try:
            yield process, ended
        finally:
            signal_all(descendants([process.pid]) if not ended.done() else [], signal.SIGKILL)
            signal_group(process.pid, signal.SIGKILL)
            process.returncode = await asyncio.shield(ended)


def _start(program: Program, stdin: int) -> subprocess.Popen[bytes]:
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
async def _read_chunks(process: subprocess.Popen[bytes]) -> AsyncIterator[asyncio.StreamReader]:
    """Its output as a stream."""
    loop = asyncio.get_event_loop()
    reader = asyncio.StreamReader(limit=_PIECE)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), process.stdout)
    try:
        yield reader
    finally:
        transport.close()
