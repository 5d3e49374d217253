"""Programs that are spoken to line by line, for as long as the request that started them."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from typing import AsyncIterator, Awaitable, Callable

from .frames import Message, Refusal
from .programs import Program, Programs, reading

LONGEST_LINE = 1 << 20  # it must fit into one frame, however its characters are written there
_AT_ONCE = 64

Tell = Callable[[Message], Awaitable[None]]


class Pipes:
    """Each by a name that its owner gave it."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self._writers: dict[str, asyncio.StreamWriter] = {}

    async def run(self, name: str, program: Program, tell: Tell) -> int:
        """Tell that it can be spoken to, then hand each line on, until it ends or prints one that is too long; its exit
        code. Being cancelled ends it, and all that it started. Raises OSError where it cannot be started."""
        if name in self._writers or len(self._writers) >= _AT_ONCE:
            raise Refusal("busy", "the name is taken, or too many programs are spoken to")
        async with self._programs.started(program, subprocess.PIPE) as (process, ended):
            async with reading(process, LONGEST_LINE) as reader, _writing(process) as writer:
                self._writers[name] = writer
                try:
                    await tell({"piece": {"started": True}})
                    await _hand_on(reader, tell)
                finally:
                    del self._writers[name]
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            return await asyncio.shield(ended)

    async def write(self, name: str, line: str) -> bool:
        """False where there is no such program any more."""
        writer = self._writers.get(name)
        if writer is None or writer.is_closing():
            return False
        writer.write(line.encode("utf-8", "replace") + b"\n")
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        return True


async def _hand_on(reader: asyncio.StreamReader, tell: Tell) -> None:
    while True:
        try:
            line = await reader.readline()
        except ValueError:
            return
        if not line:
            return
        await tell({"piece": {"line": line.decode("utf-8", "replace").rstrip("\r\n")}})


@contextlib.asynccontextmanager
async def _writing(process: subprocess.Popen[bytes]) -> AsyncIterator[asyncio.StreamWriter]:
    loop = asyncio.get_event_loop()
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, process.stdin)
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    try:
        yield writer
    finally:
        transport.abort()
