"""A TCP proxy on loopback that breaks connections on demand."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_PIECE = 16 * 1024
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that makes closing a reset: what was not read yet is lost, as when a network goes away."""


class Proxy:
    """Passes bytes on to `port` until it is told otherwise. Its own port is `port_here`."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.port_here = 0
        self.cuts = 0
        self.passed = 0
        """Bytes from the server that were passed on, over all connections."""
        self._next_budget: int | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._closed = False
        self._pairs: set[_Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port_here}"

    def cut(self) -> None:
        """Abort every connection, on both sides, with a reset: what was not read yet is lost."""
        for pair in list(self._pairs):
            self.cuts += 1
            pair.abort(reset=True)

    def cut_after(self, count: int) -> None:
        """Abort the next connection once exactly `count` bytes have come back from the server."""
        self._next_budget = count

    def stall(self) -> None:
        """Read nothing from the server any more."""
        self._flowing.clear()

    def flow(self) -> None:
        """The end of a stall."""
        self._flowing.set()

    async def close(self) -> None:
        """Abort what is left; returns when nothing is. No connection comes in any more, but for those that have."""
        self._closed = True
        self.flow()
        for pair in list(self._pairs):
            pair.abort(reset=True)
        if self._tasks:
            await asyncio.wait(self._tasks)
        for _ in range(3):  # so many rounds of the loop from a connection that came in last to the end of its transport
            await asyncio.sleep(0)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Begin with a connection that has come in."""
        if self._closed:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        budget, self._next_budget = self._next_budget, None
        try:
            there, onwards = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            writer.transport.abort()
            return
        pair = _Pair(writer, onwards, budget)
        self._pairs.add(pair)
        up = asyncio.create_task(_pass_on(reader, onwards))
        try:
            with contextlib.suppress(ConnectionError):
                await self._pass_back(there, pair)
        finally:
            self._pairs.discard(pair)
            up.cancel()
            await asyncio.wait([up])
            for end in (writer, onwards):
                end.close()
                with contextlib.suppress(ConnectionError):
                    await end.wait_closed()

    async def _pass_back(self, reader: asyncio.StreamReader, pair: "_Pair") -> None:
        while True:
            await self._flowing.wait()
            piece = await reader.read(_PIECE)
            if not piece:
                return
            if pair.budget is not None and len(piece) >= pair.budget:
                pair.client.write(piece[: pair.budget])
                self.passed += pair.budget
                self.cuts += 1
                pair.abort(reset=False)
                return
            pair.client.write(piece)
            await pair.client.drain()
            self.passed += len(piece)
            if pair.budget is not None:
                pair.budget -= len(piece)


class _Pair:
    """The two ends of one connection. `budget`: bytes that may still come back."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter, budget: int | None) -> None:
        self.client = client
        self.server = server
        self.budget = budget

    def abort(self, *, reset: bool) -> None:
        for end in (self.client, self.server) if reset else ():
            with contextlib.suppress(OSError):
                end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.client.transport.abort()
        self.server.transport.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


@asynccontextmanager
async def proxy(port: int) -> AsyncIterator[Proxy]:
    """A proxy in front of a port of this machine, for the length of the block."""
    made = Proxy(port)
    server = await asyncio.start_server(made.accept, "127.0.0.1", 0)
    made.port_here = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.close()
        await server.wait_closed()
