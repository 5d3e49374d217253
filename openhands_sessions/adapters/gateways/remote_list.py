"""The list of a caller's conversations on another server, as it changes."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial

import aiohttp

from openhands_sessions.adapters.gateways.follower import delays
from openhands_sessions.adapters.gateways.reading import UnreadableMessage, read
from openhands_sessions.adapters.gateways.rest import CONNECT_SECONDS, ServerAddress
from openhands_sessions.adapters.gateways.socket_client import BROKEN, begin, end, no_websocket, socket_client
from openhands_sessions.core.errors import AtCapacity, SessionsError, Unreachable
from openhands_sessions.core.permissions import Lapse
from openhands_sessions.ports.conversations import ListItem
from openhands_sessions.ports.gateway import EndReason
from openhands_sessions.protocol.errors import BareError, error_of, lapsed
from openhands_sessions.protocol.lists import ListChangeOut, ListOut, RenewListIn
from openhands_sessions.protocol.socket_messages import PROTOCOL, RENEW_LIST, AuthIn, Ended

KEPT = 1_000
"""Items that may wait for the reader; beyond them the connection is made anew, which begins with a snapshot."""


class ListConnectionLost(Exception):
    """The connection is gone, or more has come than is kept."""


class ListConnection:
    """Made for one connection; a new one is made for the next."""

    def __init__(self, session: aiohttp.ClientSession, address: ServerAddress) -> None:
        self._address = address
        self._arrived: deque[ListItem] = deque()
        self._problem: SessionsError | None = None
        self._connected = False
        self._lost = False
        self._news = asyncio.Event()
        self._sio = socket_client(session)
        readers: dict[str, Callable[[object], None]] = {
            "list": lambda wire: self._arrive(read(ListOut, wire, "a list").snapshot()),
            "list_change": lambda wire: self._arrive(read(ListChangeOut, wire, "a change").change()),
            "ended": lambda wire: self._end(read(Ended, wire, "an end").reason),
            "oh_event": lambda wire: self._fail(read(BareError, wire, "an error")),
        }
        for name, reader in readers.items():
            self._sio.on(name, partial(self._read, reader))
        self._sio.on("connect", self._connect)
        self._sio.on("connect_error", self._refuse)
        self._sio.on("disconnect", self._lose)

    async def connect(self) -> None:
        """Raises what the server refuses with, and Unreachable."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await begin(self._sio, self._address, AuthIn(protocol=PROTOCOL))
                self._sio.eio.read_loop_task.add_done_callback(self._lose)
                while not self._connected and not self._lost:
                    await self._wait()
        except (*BROKEN, TimeoutError) as error:
            raise self._problem or no_websocket(self._address) from error
        if not self._connected:
            raise self._problem or no_websocket(self._address)

    async def next(self) -> Sequence[ListItem]:
        """All that has come, at least one item. Raises ListConnectionLost, and what has ended the connection."""
        while not self._arrived:
            if self._problem is not None:
                raise self._problem
            if self._lost:
                raise ListConnectionLost
            await self._wait()
        items = [*self._arrived]
        self._arrived.clear()
        return items

    async def renew(self) -> None:
        """Ask for a snapshot. A connection that is lost brings one by itself."""
        if self._connected and not self._lost:
            try:
                await self._sio.emit(RENEW_LIST, RenewListIn().wire())
            except BROKEN:
                self._lose()

    async def close(self) -> None:
        self._lose()
        await end(self._sio)

    async def _wait(self) -> None:
        self._news.clear()
        await self._news.wait()

    def _read(self, reader: Callable[[object], None], *values: object) -> None:
        """Called for each packet, in order; must not raise, for it runs in a task of the library's."""
        try:
            reader(values[0] if values else None)
        except UnreadableMessage as error:
            self._problem = error
        except ValueError:
            self._problem = UnreadableMessage("a list")
        self._news.set()

    def _arrive(self, item: ListItem) -> None:
        self._arrived.append(item)
        if len(self._arrived) > KEPT:
            self._arrived.clear()
            self._lost = True

    def _end(self, reason: EndReason | Lapse) -> None:
        """Where the server shuts down, the connection is lost next, and the server may come back."""
        if reason == "expired" or reason == "revoked":
            self._problem = lapsed(reason)

    def _fail(self, error: BareError) -> None:
        self._problem = error_of({"code": error.code, "message": error.message})

    def _connect(self) -> None:
        self._connected = True
        self._news.set()

    def _refuse(self, told: object = None) -> None:
        if isinstance(told, dict):
            self._problem = error_of(told)
        self._lose()

    def _lose(self, reason: object = None) -> None:
        self._lost = True
        self._news.set()


class RemoteList:
    """A FollowedList. Each connection begins with a snapshot, with a number of its own."""

    def __init__(self, new_connection: Callable[[], ListConnection], patience: float) -> None:
        self._new_connection = new_connection
        self._patience = patience
        self._connection = new_connection()
        self._asking: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Connect for the first time. Raises what the server refuses with, and Unreachable."""
        await self._connection.connect()

    async def close(self) -> None:
        for task in self._asking:
            task.cancel()
        if self._asking:
            await asyncio.wait(self._asking)
        await self._connection.close()

    def renew(self) -> None:
        task = asyncio.create_task(self._connection.renew(), name="renew a list")
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def items(self) -> AsyncGenerator[Sequence[ListItem], None]:
        """Raises also Unreachable, where the server stays away for too long."""
        while True:
            try:
                items = await self._connection.next()
            except ListConnectionLost:
                await self._reconnect()
                continue
            yield items

    async def _reconnect(self) -> None:
        for delay in delays(self._patience):
            await self._connection.close()
            await asyncio.sleep(delay)
            self._connection = self._new_connection()
            try:
                await self._connection.connect()
                return
            except UnreadableMessage:
                raise
            except (Unreachable, AtCapacity):
                continue
        raise Unreachable(f"the server has not answered for {self._patience:.0f} s")
