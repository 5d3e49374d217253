"""One Socket.IO connection to one conversation, by protocol 2."""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import aiohttp
import orjson
from socketio.exceptions import SocketIOError

from openhands_sessions.adapters.gateways.reading import UnreadableMessage, accepted, news_of, read, stored_of
from openhands_sessions.adapters.gateways.rest import CONNECT_SECONDS, ServerAddress
from openhands_sessions.adapters.gateways.socket_client import BROKEN, begin, end, no_websocket, socket_client
from openhands_sessions.core.errors import SessionsError, TooLarge
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.core.permissions import Lapse
from openhands_sessions.ports.gateway import Accepted, EndReason, FeedItem, SessionClosed
from openhands_sessions.protocol.errors import error_of, lapsed
from openhands_sessions.protocol.socket_messages import PROTOCOL, AuthIn, DeltaOut, Ended, Hello

BACKLOG = 8 * 1024 * 1024
"""Characters that may wait here for the reader. What comes beyond them is let go, and asked for again later."""


class GatewayConnectionLost(Exception):
    """The connection is gone, and everything that came over it has been read."""


class GatewayConnection:
    """Made for one connection; a new one is made for the next. One reader at a time."""

    def __init__(self, session: aiohttp.ClientSession, address: ServerAddress, sid: ConversationId) -> None:
        self._address = address
        self._sid = sid
        self._arrived: deque[FeedItem] = deque()
        self._waiting = 0
        self._full = False
        self._news = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._admitted: asyncio.Future[None] = loop.create_future()
        self._greeted: asyncio.Future[Hello] = loop.create_future()
        self._problem: SessionsError | None = None
        self._asked: set[asyncio.Future[object]] = set()
        self._lost = False
        self._sio = socket_client(session)
        readers: dict[str, Callable[[Any], None]] = {
            "hello": lambda wire: _settle(self._greeted, read(Hello, wire, "a greeting")),
            "oh_event": lambda wire: self._arrive(news_of(wire)),
            "oh_events": lambda wires: self._arrive([stored_of(wire) for wire in wires]),
            "oh_delta": lambda wire: self._arrive(read(DeltaOut, wire, "a delta").delta()),
            "ended": lambda wire: self._end(read(Ended, wire, "an end").reason),
        }
        for name, reader in readers.items():
            self._sio.on(name, partial(self._read, reader))
        self._sio.on("connect", partial(_settle, self._admitted))
        self._sio.on("connect_error", self._refused)
        self._sio.on("disconnect", self._lose)

    @property
    def alive(self) -> bool:
        """Whether commands can be sent."""
        return self._greeted.done() and not self._lost

    async def connect(self, after: int, create: dict[str, Json] | None = None) -> Hello:
        """Connect and be greeted; what is stored after `after` comes then. `create` is the body that creates the
        conversation if it is unknown. Raises what the server refuses with, and Unreachable."""
        auth = AuthIn(protocol=PROTOCOL, conversation_id=self._sid, after=after)
        if create is not None:
            auth = auth.model_copy(update={"create": create})
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await begin(self._sio, self._address, auth)
                self._sio.eio.read_loop_task.add_done_callback(self._lose)
                await self._admitted
                return await self._greeted
        except (*BROKEN, GatewayConnectionLost, TimeoutError) as error:
            await self.close()
            raise self._problem or no_websocket(self._address) from error
        except BaseException:
            await self.close()
            raise

    async def next(self) -> FeedItem:
        """What has come, in order. Raises GatewayConnectionLost, and Unreachable for what cannot be read."""
        while not self._arrived:
            if self._problem is not None:
                raise self._problem
            if not self.alive or self._full:
                raise GatewayConnectionLost
            self._news.clear()
            await self._news.wait()
        item = self._arrived.popleft()
        self._waiting -= _size(item)
        return item

    async def call(self, wire: dict[str, Json]) -> Accepted:
        """Send a command. Waits for as long as the connection lives; raises what the server refuses with, and
        GatewayConnectionLost where it is not known whether the command arrived."""
        if not self.alive:
            raise GatewayConnectionLost
        limit = self._greeted.result().limits.message_bytes
        if len(orjson.dumps(wire)) > limit:
            raise TooLarge(f"a message of more than {limit} bytes is not taken", limit)
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._asked.add(answer)
        try:
            await self._sio.emit("oh_user_action", wire, callback=partial(_settle, answer))
            return accepted(await answer)
        except SocketIOError:
            raise GatewayConnectionLost from None
        finally:
            self._asked.discard(answer)

    async def close(self) -> None:
        """End the connection; bounded by CLOSE_SECONDS each for its parts."""
        self._lose()
        await end(self._sio)

    def _read(self, reader: Callable[[Any], None], *values: Any) -> None:
        """Called for each packet, in order; must not raise, for it runs in a task of the library's."""
        try:
            reader(values[0] if values else None)
        except (UnreadableMessage, TypeError) as error:
            self._problem = error if isinstance(error, UnreadableMessage) else UnreadableMessage("something")
            self._full = True
            self._news.set()

    def _arrive(self, item: FeedItem) -> None:
        if self._full:
            return
        self._arrived.append(item)
        self._waiting += _size(item)
        self._full = self._waiting > BACKLOG
        self._news.set()

    def _end(self, reason: EndReason | Lapse) -> None:
        """Of the session, or of this connection."""
        if reason == "expired" or reason == "revoked":
            self._problem = lapsed(reason)
            self._full = True
            self._news.set()
        else:
            self._arrive(SessionClosed(reason))

    def _refused(self, told: object = None) -> None:
        if isinstance(told, dict):
            self._problem = error_of(told)
        _fail(self._admitted)

    def _lose(self, reason: object = None) -> None:
        self._lost = True
        for answer in self._asked:
            _fail(answer)
        _fail(self._admitted)
        _fail(self._greeted)
        self._news.set()


def _size(item: FeedItem) -> int:
    match item:
        case [*entries]:
            return sum(len(entry.text) for entry in entries)
        case _:
            return len(getattr(item, "text", ""))


def _settle(waiting: "asyncio.Future[Any]", *values: object) -> None:
    if not waiting.done():
        waiting.set_result(values[0] if values else None)


def _fail(waiting: "asyncio.Future[Any]") -> None:
    if not waiting.done():
        waiting.set_exception(GatewayConnectionLost())
        waiting.exception()  # seen: there may be no waiter left
