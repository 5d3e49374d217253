"""One real Socket.IO connection: all that came over it, in order, and how it ended."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import socketio
from socketio.exceptions import SocketIOError

_BROKEN = (SocketIOError, aiohttp.ClientError, OSError, TypeError, ValueError)
"""What the library raises where connecting fails; the last two where it is cut in the middle of a handshake."""
CONNECT_WITHIN = 30.0
_CLOSE_WITHIN = 2.0


class ConnectionCut(Exception):
    """The connection ended, or was never made."""


class ConnectionRefused(Exception):
    """The server answered with a connect error. `told` is what it said."""

    def __init__(self, told: Any) -> None:
        super().__init__(told)
        self.told = told


class SocketConnection:
    """Made for one connection. `take` is called with the name and the value of each packet, in order."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        take: Callable[[str, Any], None],
        on_end: Callable[[], None],
        namespace: str = "/",
    ) -> None:
        self.disconnected = False
        """Whether the server said goodbye in Socket.IO's own words."""
        self._take = take
        self._on_end = on_end
        self._namespace = namespace
        self._accepted = asyncio.Event()
        self._refusal: Any = None
        self._asked: set[asyncio.Future[Any]] = set()
        self._sio = socketio.AsyncClient(
            reconnection=False,
            handle_sigint=False,
            http_session=http,
            request_timeout=_CLOSE_WITHIN,
            websocket_extra_options={"max_msg_size": 0},
        )
        self._sio.on("*", self._heard, namespace=namespace)
        self._sio.on("connect", self._accepted.set, namespace=namespace)
        self._sio.on("connect_error", self._refused, namespace=namespace)
        self._sio.on("disconnect", self._told_to_go, namespace=namespace)
        self._reading: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        return self._reading is not None and not self._reading.done()

    async def connect(self, url: str, query: Mapping[str, Any], auth: object = None) -> None:
        """Returns when the namespace is connected. Raises Refused, and Cut where the connection came to nothing."""
        asked = f"{url}?{urlencode(query)}" if query else url
        try:
            async with asyncio.timeout(CONNECT_WITHIN):
                await self._sio.connect(
                    asked,
                    auth=auth,
                    transports=["websocket"],
                    namespaces=[self._namespace],
                    socketio_path=f"{urlsplit(url).path}/socket.io".lstrip("/"),
                    wait=False,
                )
        except _BROKEN as error:
            await self.close()
            raise ConnectionCut(repr(error)) from error
        self._reading = self._sio.eio.read_loop_task
        self._reading.add_done_callback(lambda done: self._ended())
        async with asyncio.timeout(CONNECT_WITHIN):
            await self._accepted.wait()
        if self._refusal is not None:
            await self.close()
            raise ConnectionRefused(self._refusal)
        if self._namespace not in self._sio.namespaces:
            raise ConnectionCut("the connection was lost before it was accepted")

    async def emit(self, name: str, *values: object) -> None:
        """Send and expect no answer. Raises Cut."""
        try:
            await self._sio.emit(name, values, namespace=self._namespace)
        except SocketIOError as error:
            raise ConnectionCut(repr(error)) from error

    async def call(self, name: str, *values: object) -> Any:
        """Send and return the acknowledgement. Raises Cut where none can come any more."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked.add(answer)
        if not self.alive:
            raise ConnectionCut("the connection is gone")
        try:
            await self._sio.emit(name, values, namespace=self._namespace, callback=_settling(answer))
            return await answer
        except SocketIOError as error:
            raise ConnectionCut(repr(error)) from error
        finally:
            self._asked.discard(answer)

    async def close(self) -> None:
        """End the connection and everything that serves it."""
        with suppress(TimeoutError, *_BROKEN):
            async with asyncio.timeout(_CLOSE_WITHIN):
                await self._sio.disconnect()
        engine = self._sio.eio
        tasks = [task for task in (engine.read_loop_task, engine.write_loop_task) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if engine.ws is not None and not engine.ws.closed:
            await engine.ws.close()

    async def abandon(self) -> None:
        """As a client that vanishes: the socket is closed without a word."""
        engine = self._sio.eio
        connection = None if engine.ws is None else engine.ws.get_extra_info("socket")
        if connection is not None and engine.ws._response.connection is not None:
            engine.ws._response.connection.transport.abort()
        await self.close()

    def _heard(self, name: str, *values: Any) -> None:
        self._take(name, values[0] if values else None)

    def _refused(self, told: Any = None) -> None:
        self._refusal = told
        self._accepted.set()

    def _told_to_go(self, reason: object = None) -> None:
        self.disconnected = self.disconnected or reason == self._sio.reason.SERVER_DISCONNECT

    def _ended(self) -> None:
        self._accepted.set()
        for answer in self._asked:
            if not answer.done():
                answer.set_exception(ConnectionCut("the connection was lost before the answer came"))
        self._on_end()


def _settling(answer: "asyncio.Future[Any]") -> Callable[..., None]:
    def settle(*values: Any) -> None:
        if not answer.done():
            answer.set_result(values[0] if values else None)

    return settle
