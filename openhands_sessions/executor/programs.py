"""Programs beside the shell: they do not see its folder and variables, and do not wait for its commands."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass, field
from typing import AsyncIterator

from .frames import RequestRefused, Send
from .processes import ChildReaper, descendants, signal_all, signal_group

_QUERIES_AT_ONCE = 8
_SESSIONS_AT_ONCE = 64
_PIECE = 64 << 10
LONGEST_LINE = 1 << 20  # escaped, it must fit into one frame


@dataclass(frozen=True)
class Program:
    """Words, a real folder, and what is added to the executor's own environment."""

    words: list[str]
    cwd: str
    environment: dict[str, str] = field(default_factory=dict)


class ProgramRunner:
    """Runs programs, each in a session of its own, and kills all that they leave running."""

    def __init__(self, reaper: ChildReaper) -> None:
        self._reaper = reaper
        self._room = asyncio.Semaphore(_QUERIES_AT_ONCE)
        self._writers: dict[str, asyncio.StreamWriter] = {}  # of programs with an open input, by the owner's names

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

    async def run(self, name: str, program: Program, send: Send) -> int:
        """Run a program and send each line that it prints, until it ends or prints one that is too long; returns its
        exit code. Cancelling kills it and its descendants. Raises OSError where it cannot be started."""
        if name in self._writers or len(self._writers) >= _SESSIONS_AT_ONCE:
            raise RequestRefused("busy", "the name is taken, or too many programs are spoken to")
        async with self._started(program, subprocess.PIPE) as (process, ended):
            async with _read_chunks(process, LONGEST_LINE) as reader, _input_writer(process) as writer:
                self._writers[name] = writer
                try:
                    await send({"piece": {"started": True}})
                    await _forward_lines(reader, send)
                finally:
                    del self._writers[name]
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            return await asyncio.shield(ended)

    async def write(self, name: str, line: str) -> bool:
        """False where the program has ended."""
        writer = self._writers.get(name)
        if writer is None or writer.is_closing():
            return False
        writer.write(line.encode("utf-8", "replace") + b"\n")
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        return True

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
async def _read_chunks(process: subprocess.Popen[bytes], limit: int = _PIECE) -> AsyncIterator[asyncio.StreamReader]:
    """Its output as a stream."""
    loop = asyncio.get_event_loop()
    reader = asyncio.StreamReader(limit=limit)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), process.stdout)
    try:
        yield reader
    finally:
        transport.close()


async def _forward_lines(reader: asyncio.StreamReader, send: Send) -> None:
    while True:
        try:
            line = await reader.readline()
        except ValueError:
            return
        if not line:
            return
        await send({"piece": {"line": line.decode("utf-8", "replace").rstrip("\r\n")}})


@contextlib.asynccontextmanager
async def _input_writer(process: subprocess.Popen[bytes]) -> AsyncIterator[asyncio.StreamWriter]:
    loop = asyncio.get_event_loop()
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, process.stdin)
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    try:
        yield writer
    finally:
        transport.abort()
