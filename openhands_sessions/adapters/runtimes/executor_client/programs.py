"""Programs in a sandbox whose input and output go through its executor, line by line."""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from openhands_sessions.adapters.runtimes.executor_client.connection import ConnectionLost, ExecutorConnection
from openhands_sessions.adapters.runtimes.executor_client.files import KeepAwake
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.core.events.event import Json
from openhands_sessions.executor.frames import Message
from openhands_sessions.ports.programs import ProgramSession, ProgramSpec

BUFFER_LIMIT = 8 << 20
"""Characters of unread lines; a program that prints more is ended."""


class ExecutorPrograms:
    """`keep_awake` keeps the sandbox awake for as long as a program runs: in a paused one it would not answer.
    `connect` starts the executor where it does not run, and returns a connection to it."""

    def __init__(
        self,
        keep_awake: KeepAwake,
        connect: Callable[[], Awaitable[ExecutorConnection]],
        environment: Mapping[str, str],
    ) -> None:
        self._keep_awake = keep_awake
        self._connect = connect
        self._environment = environment

    @asynccontextmanager
    async def open(self, program: ProgramSpec) -> AsyncIterator[ProgramSession]:
        async with self._keep_awake():
            connection = await self._connect()
            body: dict[str, Json] = {
                "name": secrets.token_hex(8),
                "words": list(program.words),
                "environment": {**self._environment, **program.environment},
            }
            session = _ExecutorProgramSession(connection, str(body["name"]))
            running = asyncio.create_task(connection.call("pipe", body, session.take))
            running.add_done_callback(session.end)
            try:
                await session.started.wait()
                yield session
            finally:
                running.cancel()
                await asyncio.wait({running})


class _ExecutorProgramSession:
    def __init__(self, connection: ExecutorConnection, name: str) -> None:
        self._connection = connection
        self._name = name
        self._unread: deque[str] = deque()
        self._size = 0
        self._ended = False
        self.started = asyncio.Event()
        """It runs, or has ended already."""
        self._news = asyncio.Event()

    def take(self, chunk: Message) -> None:
        self.started.set()
        line = chunk.get("line")
        if not isinstance(line, str) or self._ended:
            return
        self._unread.append(line)
        self._size += len(line)
        self._ended = self._size > BUFFER_LIMIT
        self._news.set()

    def end(self, running: "asyncio.Task[Message]") -> None:
        self._ended = True
        self.started.set()
        self._news.set()
        if not running.cancelled():
            running.exception()  # mark it as retrieved; readers and writers only see that the program ended

    async def lines(self) -> AsyncGenerator[str, None]:
        while True:
            self._news.clear()
            while self._unread:
                line = self._unread.popleft()
                self._size -= len(line)
                yield line
            if self._ended:
                return
            await self._news.wait()

    async def write(self, line: str) -> None:
        try:
            answer = await self._connection.call("pipe_line", {"name": self._name, "text": line})
        except ConnectionLost:
            answer = {}
        if answer.get("taken") is not True:
            raise RuntimeUnavailable("the program has ended")
