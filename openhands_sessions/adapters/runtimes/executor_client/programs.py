"""Programs in a sandbox whose input and output go through its executor, line by line."""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress

from openhands_sessions.adapters.runtimes.executor_client.connection import ConnectionLost, ExecutorConnection
from openhands_sessions.adapters.runtimes.executor_client.files import KeepAwake
from openhands_sessions.core.errors import NotAsked, RuntimeFailure, RuntimeUnavailable, TooLarge
from openhands_sessions.core.events.event import Json
from openhands_sessions.executor.frames import Message
from openhands_sessions.executor.pipes import LONGEST_PIECE, WINDOW, piece_cost
from openhands_sessions.ports.programs import LONGEST_LINE, CutLine, ProgramSession, ProgramSpec

_MOST_UNREAD = 8 << 20
"""Characters; an executor that keeps to the window never sends so many."""
_SHOWN = 512
_ENDED = "the program has ended"


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
                "window": WINDOW,
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
    """Trusts the executor with nothing: what it sends beyond the window ends the session."""

    def __init__(self, connection: ExecutorConnection, name: str) -> None:
        self._connection = connection
        self._name = name
        self._unread: deque[Message] = deque()
        self._size = 0
        self._ended = False
        self._writing = asyncio.Lock()
        self.unread: frozenset[str] = frozenset()
        self.started = asyncio.Event()
        """It runs, or has ended already."""
        self._news = asyncio.Event()

    def take(self, chunk: Message) -> None:
        self.started.set()
        text = _text_of(chunk)
        if text is None or self._ended:
            return
        self._unread.append(chunk)
        self._size += piece_cost(text)
        self._ended = self._size > _MOST_UNREAD
        self._news.set()

    def end(self, running: "asyncio.Task[Message]") -> None:
        self._ended = True
        self.started.set()
        self._news.set()
        # Readers and writers only see that the program ended.
        if not running.cancelled() and running.exception() is None:
            unread = running.result().get("unread")
            self.unread = frozenset(map(str, unread)) if isinstance(unread, list) else frozenset()

    async def lines(self) -> AsyncGenerator[str | CutLine, None]:
        read, line = 0, _GrowingLine()
        while True:
            self._news.clear()
            while self._unread:
                piece = self._unread.popleft()
                text = _text_of(piece) or ""
                self._size -= piece_cost(text)
                read += piece_cost(text)
                if read >= WINDOW // 2:
                    await self._grant(read)
                    read = 0
                line.add(text)
                if "line" in piece:
                    yield line.end(cut=piece.get("cut") is True)
                    line = _GrowingLine()
            if self._ended:
                return
            await self._news.wait()

    async def write(self, line: str, key: str = "") -> None:
        if len(line) > LONGEST_LINE:
            raise TooLarge(f"a line may have {LONGEST_LINE >> 20} MiB", LONGEST_LINE)
        async with self._writing:
            for at in range(0, len(line) or 1, LONGEST_PIECE):
                more = at + LONGEST_PIECE < len(line)
                await self._write({"text": line[at : at + LONGEST_PIECE], "at": at, "more": more, "key": key})

    async def _write(self, piece: dict[str, Json]) -> None:
        if not self._connection.alive:
            raise NotAsked(_ENDED)
        try:
            answer = await self._connection.call("pipe_line", {"name": self._name, **piece})
        except ConnectionLost:
            if piece["more"]:
                raise NotAsked(_ENDED) from None
            raise RuntimeUnavailable("the sandbox was lost") from None
        except RuntimeFailure as refused:
            raise NotAsked(refused.message) from refused
        if answer.get("taken") is not True:
            raise NotAsked(_ENDED)

    async def _grant(self, room: int) -> None:
        with suppress(ConnectionLost, RuntimeFailure):  # then `end` is called too, or an older executor knows no window
            await self._connection.call("pipe_read", {"name": self._name, "room": room})


class _GrowingLine:
    """A line that is put together; of one that grows too long only the beginning is kept."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._size = 0
        self._head = ""

    def add(self, text: str) -> None:
        self._size += len(text)
        self._head += text[: _SHOWN - len(self._head)]
        self._pieces.append(text)
        if self._size > LONGEST_LINE:
            self._pieces = [text]

    def end(self, *, cut: bool) -> str | CutLine:
        if cut or self._size > LONGEST_LINE:
            return CutLine(self._head, self._pieces[-1][-_SHOWN:])
        return "".join(self._pieces).rstrip("\r")


def _text_of(piece: Message) -> str | None:
    text = piece.get("line", piece.get("part"))
    return text if isinstance(text, str) else None
