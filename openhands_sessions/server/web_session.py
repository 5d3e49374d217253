"""Layer one: one client connection, which follows one conversation from its own cursor."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache

import socketio
import structlog

from openhands_sessions.core.errors import NotFound, SessionsError
from openhands_sessions.core.events.codec import Stored, stored
from openhands_sessions.core.events.event import Event, Json
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.core.lineage import Chain, on_chain
from openhands_sessions.core.permissions import Lapse
from openhands_sessions.core.settings import SessionSettings
from openhands_sessions.ports.agent import Agents
from openhands_sessions.ports.files import FileStore
from openhands_sessions.ports.gateway import (
    Accepted,
    Delta,
    EndReason,
    FeedItem,
    Gateway,
    SessionClosed,
    SessionEnded,
    SessionHandle,
    SessionInfo,
    SessionSpec,
    SessionUsage,
    Status,
)
from openhands_sessions.protocol.commands import command_of
from openhands_sessions.protocol.errors import BareError, lapsed, unshared
from openhands_sessions.protocol.socket_messages import (
    PROTOCOL,
    ConnectionLimits,
    DeltaOut,
    Ended,
    Hello,
    Resync,
    StatusUpdate,
    epoch_of,
)
from openhands_sessions.protocol.statuses import V0_STATUSES, V0_WITHOUT_ID
from openhands_sessions.server import batching
from openhands_sessions.server.packets import SHARED, message_packet, refusals
from openhands_sessions.server.rate_limit import TokenBucket
from openhands_sessions.server.slow_client import END_GRACE, Outbox, SlowClient
from openhands_sessions.server.sockets.websocket import EventPacket

log = structlog.get_logger(__name__)

STAYING_AWAY = ("stopped", "deleted", "expired", "revoked")
"""Ends after which a client gains nothing by coming back as it is."""
CHAIN_WITHIN = 60.0
"""Seconds that a V0 client waits for its first event where the end of a long log must be read first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """How one client is connected, and where it wants to go on. `limits` are told to it in `hello`."""

    socket_id: str
    outbox: Outbox
    bucket: TokenBucket
    protocol: int
    after: int
    epoch: str | None
    version: str
    limits: ConnectionLimits


class WebSession:
    """One client of one conversation. The AgentSession it builds or joins outlives it."""

    def __init__(
        self,
        sid: ConversationId,
        config: SessionSettings,
        llm_registry: Agents,
        file_store: FileStore,
        sio: socketio.AsyncServer,
        user_id: OwnerId,
        *,
        gateway: Gateway,
        connection: Connection,
    ) -> None:
        self.sid = sid
        self.config = config
        self.llm_registry = llm_registry
        self.file_store = file_store
        self.sio = sio
        self.user_id = user_id
        self._gateway = gateway
        self._connection = connection
        self._outbox = connection.outbox
        self._cursor = connection.after
        self._head = -1
        self._last_state = -1
        self._chain: Chain | None = None
        self._commands = 0
        """That are under way; their answers go out before the connection ends."""
        self._answered: asyncio.Event | None = None
        self._expelled: Lapse | None = None
        self._pump: asyncio.Task[None] | None = None

    @property
    def agent_session(self) -> SessionHandle | None:
        """The conversation's live session, read-only; None while none is live."""
        return self._gateway.session(self.sid)

    @property
    def conversation_stats(self) -> SessionUsage:
        """What the conversation has used, as far as its session is live."""
        session = self.agent_session
        return SessionUsage() if session is None else session.usage

    async def initialize_agent(
        self,
        settings: Mapping[str, Json] | None = None,
        initial_message: str | None = None,
        replay_json: str | None = None,
        *,
        making: SessionSpec | None = None,
    ) -> None:
        """Build the conversation's AgentSession, or join it, and begin to follow. `making` says what an unknown
        conversation is made with, the others over it; without it there must be one. Raises
        NotFound, AtCapacity, BadInput."""
        spec = making or SessionSpec(id=self.sid)
        message = spec.initial_message if initial_message is None else initial_message
        spec = replace(spec, settings={**spec.settings, **(settings or {})}, initial_message=message)
        info = await self._gateway.open(spec if replay_json is None else replace(spec, replay_json=replay_json))
        self._pump = asyncio.create_task(self._follow(info), name=f"client {self._connection.socket_id}")

    async def dispatch(self, data: object) -> Accepted:
        """Carry a client's command to the session, reviving it. Raises BadInput, RateLimited, NotAccepting, …"""
        self.take_turn()
        command, key = command_of(data)
        self._commands += 1
        try:
            return await self._gateway.submit(self.sid, command, key=key)
        finally:
            self._commands -= 1
            if self._answered is not None and not self._commands:
                self._answered.set()

    def take_turn(self) -> None:
        """Before anything that a client sends is looked at. Raises RateLimited, Unauthorized."""
        if self._expelled is not None:
            raise lapsed(self._expelled)
        self._connection.bucket.take()

    def on_event(self, event: Event) -> None:
        """Send one event now, unless the client has it or is spared it."""
        if event.id > self._cursor:
            self._cursor = event.id
            for packets in batching.singles(self._chosen([stored(event)])):
                self._outbox.put(packets)

    def refuse(self, error: SessionsError) -> None:
        """Tell a V0 client, which asks for no acknowledgement, what was wrong."""
        if self._connection.protocol < PROTOCOL:
            self._outbox.put([message_packet("oh_event", told) for told in refusals(error)])

    async def close(self) -> None:
        """Stop following. The AgentSession lives on."""
        pump, self._pump = self._pump, None
        if pump is not None and pump is not asyncio.current_task():
            pump.cancel()
            await asyncio.wait([pump])

    async def expel(self, why: Lapse) -> None:
        """The client's token does not count any more: tell it, and end the connection. The AgentSession lives on."""
        self._expelled = why
        await self.close()
        self.refuse(lapsed(why))
        self._tell_end(why)
        try:
            await self._leave(why)
        except SlowClient:
            self._outbox.abort()

    async def end(self) -> None:
        """The server goes: let the client see the session's end, for at most END_GRACE seconds, then stop following."""
        if self._pump is not None:
            await asyncio.wait([self._pump], timeout=END_GRACE)
        await self.close()

    async def _follow(self, info: SessionInfo) -> None:
        """The pump: from the cursor to the end of the connection. `info` is the conversation as it was opened."""
        try:
            try:
                await self._greet(info)
                del info
                async with self._gateway.follow(self.sid, self._cursor, deliver=self._deliver) as items:
                    async for item in items:
                        await self._forward(item)
                        del item  # or it stays in memory until the next one comes
            except SessionEnded as end:
                if end.reason == "expired" or end.reason == "revoked":
                    self.refuse(unshared(end.reason))
                self._tell_end(end.reason)
                await self._leave(end.reason)
            except NotFound:
                await self._leave("deleted")
            except SessionsError as error:
                self._outbox.put([message_packet("oh_event", BareError.of(error).wire())])
                await self._leave("shutdown")
        except SlowClient:
            await self._cut()
        except Exception:
            log.exception("following failed", conversation_id=self.sid)
            self._outbox.abort()

    def _tell_end(self, reason: EndReason | Lapse) -> None:
        if self._connection.protocol >= PROTOCOL:
            self._outbox.put([message_packet("ended", Ended(reason=reason).wire())])

    async def _greet(self, info: SessionInfo) -> None:
        if self._connection.protocol < PROTOCOL:
            await self._greet_v0(info)
            return
        self._head = info.head
        epoch = epoch_of(info.created_at)
        hello = Hello(
            protocol=PROTOCOL,
            server_version=self._connection.version,
            conversation_id=self.sid,
            head=info.head,
            epoch=epoch,
            limits=self._connection.limits,
            chain=None if info.chain is None else list(info.chain),
            branch=None if info.chain is None else info.dialogue_branch,
            model=info.model,
        )
        packets = [message_packet("hello", hello.wire())]
        other_log = self._connection.epoch not in (None, epoch)
        if other_log or self._cursor > info.head:
            resync = Resync(reason="epoch" if other_log else "cursor_beyond_head", after=-1)
            packets.append(message_packet("resync", resync.wire()))
            self._cursor = -1
        await self._outbox.send(packets)

    async def _greet_v0(self, info: SessionInfo) -> None:
        """A V0 client is shown the visible chain alone. One whose newest event was taken back is told to reload."""
        if info.chain is None and info.head >= 0:
            await self._gateway.ready(self.sid, CHAIN_WITHIN)
            info = await self._gateway.describe(self.sid)
        self._head, self._last_state, self._chain = info.head, info.last_state, info.chain
        self._cursor = min(self._cursor, info.head)
        if self._chain is not None and self._cursor >= 0 and not on_chain(self._chain, self._cursor):
            await self._outbox.send([_reload()])

    def _deliver(self, item: FeedItem) -> bool:
        """Send a live item at once; False where the client must first take what waits for it, or much comes."""
        if not self._outbox.idle or (isinstance(item, Sequence) and len(item) > batching.SINGLES):
            return False
        for packets in self._packets(item):
            self._outbox.put(packets)
        return True

    async def _forward(self, item: FeedItem) -> None:
        much = isinstance(item, Sequence) and len(item) > batching.FEW
        for packets in self._packets(item):
            await self._outbox.send(packets)
            if much:
                await asyncio.sleep(0)

    def _packets(self, item: FeedItem) -> Iterator[Sequence[EventPacket]]:
        """What the client is sent of an item; the cursor moves on with the last of it."""
        whole = self._connection.protocol >= PROTOCOL
        match item:
            case SessionClosed(reason=reason):
                if whole:
                    yield [message_packet("ended", Ended(reason=reason).wire())]
            case Delta():
                if whole:
                    yield [_delta_packet(item)]
            case Status(id=name, title=title):
                if not whole and name in V0_WITHOUT_ID:
                    yield [message_packet("oh_event", StatusUpdate.of(replace(item, id=None), self.sid).wire())]
                elif whole or title is not None or name in V0_STATUSES:
                    yield [message_packet("oh_event", StatusUpdate.of(item, self.sid).wire())]
            case entries:
                # on_event may have sent some of them already.
                fresh = entries if entries[0].id > self._cursor else [e for e in entries if e.id > self._cursor]
                chosen = self._chosen(fresh)
                yield from batching.arrays(chosen) if whole else batching.singles(chosen)
                if not whole and batching.move_beyond(fresh, self._head):
                    yield [_reload()]
                self._cursor = max(self._cursor, entries[-1].id)

    def _chosen(self, entries: Sequence[Stored]) -> Sequence[Stored]:
        if self._connection.protocol >= PROTOCOL:
            return entries
        return batching.for_v0(entries, head=self._head, last_state=self._last_state, chain=self._chain)

    async def _leave(self, reason: EndReason | Lapse) -> None:
        """The session is over for this client: with a Socket.IO disconnect it stays away, without it comes back."""
        if self._commands:
            self._answered = asyncio.Event()
            with suppress(TimeoutError):
                async with asyncio.timeout(END_GRACE):
                    await self._answered.wait()
        await self._outbox.drained()
        if reason in STAYING_AWAY:
            await self.sio.disconnect(self._connection.socket_id, namespace="/")
        else:
            self._outbox.close()

    async def _cut(self) -> None:
        log.warning("client cut", conversation_id=self.sid, reason="slow_consumer", cursor=self._cursor)
        if self._connection.protocol >= PROTOCOL:
            resync = Resync(reason="slow_consumer", after=self._cursor)
            self._outbox.put([message_packet("resync", resync.wire())])
        await self._outbox.end()


def _reload() -> EventPacket:
    return message_packet("oh_event", StatusUpdate.reload(datetime.now(UTC)).wire())


@lru_cache(maxsize=SHARED)
def _delta_packet(delta: Delta) -> EventPacket:
    """One and the same for all who follow."""
    return message_packet("oh_delta", DeltaOut.of(delta))
