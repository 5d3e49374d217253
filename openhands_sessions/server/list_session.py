"""One client connection that follows the list of its caller's conversations."""

import asyncio
from contextlib import aclosing

import socketio
import structlog

from openhands_sessions.core.errors import SessionsError
from openhands_sessions.core.permissions import Lapse
from openhands_sessions.ports.conversations import Conversations, FollowedList, ListItem
from openhands_sessions.protocol.errors import BareError, lapsed
from openhands_sessions.protocol.lists import ListOut, list_message
from openhands_sessions.protocol.socket_messages import Ended
from openhands_sessions.server.packets import message_packet
from openhands_sessions.server.rate_limit import TokenBucket
from openhands_sessions.server.slow_client import END_GRACE, Outbox, SlowClient
from openhands_sessions.server.sockets.websocket import EventPacket

log = structlog.get_logger(__name__)


class ListSession:
    """Sends `list`, then `list_change` for each change. What a client that reads slowly has not been sent yet are ids
    alone, see ListFollower."""

    sid = None
    """What a `mark_read` names by itself: nothing, for a list is of many conversations."""

    def __init__(
        self,
        conversations: Conversations,
        sio: socketio.AsyncServer,
        socket_id: str,
        outbox: Outbox,
        bucket: TokenBucket,
    ) -> None:
        self._conversations = conversations
        self._sio = sio
        self._socket_id = socket_id
        self._outbox = outbox
        self._bucket = bucket
        self._followed: FollowedList | None = None
        self._expelled: Lapse | None = None
        self._pump: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to follow."""
        self._pump = asyncio.create_task(self._follow(), name=f"list {self._socket_id}")

    def renew(self) -> None:
        """Have a snapshot come next."""
        if self._followed is not None:
            self._followed.renew()

    def take_turn(self) -> None:
        """Before anything that a client sends is looked at. Raises RateLimited, Unauthorized."""
        if self._expelled is not None:
            raise lapsed(self._expelled)
        self._bucket.take()

    def refuse(self, error: SessionsError) -> None:
        """The acknowledgement says it."""

    async def close(self) -> None:
        """Stop following."""
        pump, self._pump = self._pump, None
        if pump is not None:
            pump.cancel()
            await asyncio.wait([pump])

    async def expel(self, why: Lapse) -> None:
        """The client's token does not count any more: tell it, and end the connection."""
        self._expelled = why
        await self.close()
        self._tell_end(Ended(reason=why))
        try:
            await self._outbox.drained()
            await self._sio.disconnect(self._socket_id, namespace="/")
        except SlowClient:
            self._outbox.abort()

    async def end(self) -> None:
        """The server goes: let the client see the last changes, for at most END_GRACE seconds."""
        if self._pump is not None:
            await asyncio.wait([self._pump], timeout=END_GRACE)
        await self.close()

    async def _follow(self) -> None:
        try:
            try:
                await self._send_all()
                self._tell_end(Ended(reason="shutdown"))
            except SessionsError as error:
                self._outbox.put([message_packet("oh_event", BareError.of(error).wire())])
            await self._outbox.drained()
            self._outbox.close()  # without a Socket.IO disconnect, the client comes back
        except SlowClient:
            log.warning("client cut", list=True, reason="slow_consumer")
            await self._outbox.end()
        except Exception:
            log.exception("following a list failed")
            self._outbox.abort()

    async def _send_all(self) -> None:
        async with self._conversations.follow_list() as self._followed, aclosing(self._followed.items()) as batches:
            async for items in batches:
                await self._outbox.send([_packet(item) for item in items])

    def _tell_end(self, end: Ended) -> None:
        self._outbox.put([message_packet("ended", end.wire())])


def _packet(item: ListItem) -> EventPacket:
    message = list_message(item)
    if isinstance(message, ListOut):
        return message_packet("list", message.wire())
    return message_packet("list_change", message.wire())
