"""A TCP proxy on loopback with the delay and the speed of a bad line."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_PIECE = 1024
_IN_FLIGHT = 1024
"""Pieces that may be on their way."""


class SlowLine:
    """Passes bytes on to `port`, each `delay` seconds later, at most `speed` bytes a second in each direction."""

    def __init__(self, port: int, delay: float, speed: float) -> None:
        self._port = port
        self._delay = delay
        self._speed = speed
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End what is left."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, onwards = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_on(reader, onwards))
                both.create_task(self._pass_on(there, writer))
        finally:
            writer.transport.abort()
            onwards.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        on_its_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_IN_FLIGHT)
        async with asyncio.TaskGroup() as both:
            both.create_task(self._take_in(reader, on_its_way))
            both.create_task(self._hand_out(on_its_way, writer))

    async def _take_in(self, reader: asyncio.StreamReader, on_its_way: asyncio.Queue[tuple[float, bytes]]) -> None:
        loop = asyncio.get_running_loop()
        piece = b"-"
        while piece:
            try:
                piece = await reader.read(_PIECE)
            except ConnectionError:
                piece = b""
            await on_its_way.put((loop.time() + self._delay, piece))
            await asyncio.sleep(len(piece) / self._speed)

    async def _hand_out(self, on_its_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, piece = await on_its_way.get()
            await asyncio.sleep(due - loop.time())
            if not piece:
                with suppress(OSError):
                    writer.write_eof()
                return
            writer.write(piece)


@asynccontextmanager
async def slow_line(port: int, *, delay: float, speed: float) -> AsyncIterator[int]:
    """Such a line to a port of this machine; its own port."""
    line = SlowLine(port, delay, speed)
    server = await asyncio.start_server(line.accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await line.close()
        await server.wait_closed()
