"""Programs in a sandbox that are spoken to line by line, through its executor."""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from openhands_sessions.adapters.runtimes.executor_client.connection import ConnectionLost, ExecutorConnection, Message
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.core.events.event import Json
from openhands_sessions.ports.programs import ProgramSession, ProgramSpec

MOST_WAITING = 8 << 20
"""Characters of lines that nobody has taken yet; a program that says more is let go of."""


class ExecutorPrograms:
    """`started` gives a connection to the executor, which runs then."""

    def __init__(self, started: Callable[[], Awaitable[ExecutorConnection]], environment: Mapping[str, str]) -> None:
        self._started = started
        self._environment = environment

    @asynccontextmanager
    async def converse(self, program: ProgramSpec) -> AsyncIterator[ProgramSession]:
        link = await self._started()
        body: dict[str, Json] = {
            "name": secrets.token_hex(8),
            "words": list(program.words),
            "environment": {**self._environment, **program.environment},
        }
        lines = _Lines(link, str(body["name"]))
        running = asyncio.create_task(link.call("pipe", body, lines.take))
        running.add_done_callback(lines.end)
        try:
            await lines.started.wait()
            yield lines
        finally:
            running.cancel()
            await asyncio.wait({running})


class _Lines:
    """What one program has said, and the way to tell it something."""

    def __init__(self, link: ExecutorConnection, name: str) -> None:
        self._link = link
        self._name = name
        self._waiting: deque[str] = deque()
        self._size = 0
        self._ended = False
        self.started = asyncio.Event()
        """It can be spoken to, or has ended already."""
        self._news = asyncio.Event()

    def take(self, piece: Message) -> None:
        self.started.set()
        line = piece.get("line")
        if not isinstance(line, str) or self._ended:
            return
        self._waiting.append(line)
        self._size += len(line)
        self._ended = self._size > MOST_WAITING
        self._news.set()

    def end(self, running: "asyncio.Task[Message]") -> None:
        self._ended = True
        self.started.set()
        self._news.set()
        if not running.cancelled():
            running.exception()  # that it has ended is all there is to know

    async def lines(self) -> AsyncGenerator[str, None]:
        while True:
            self._news.clear()
            while self._waiting:
                line = self._waiting.popleft()
                self._size -= len(line)
                yield line
            if self._ended:
                return
            await self._news.wait()

    async def write(self, line: str) -> None:
        try:
            answer = await self._link.call("pipe_line", {"name": self._name, "text": line})
        except ConnectionLost:
            answer = {}
        if answer.get("taken") is not True:
            raise RuntimeUnavailable("the program has ended")
