"""The Gateway to another server: Socket.IO by protocol 2, and REST."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import aiohttp

from openhands_sessions.adapters.gateways.connection import GatewayConnection
from openhands_sessions.adapters.gateways.follower import AGAIN, Follower, delays
from openhands_sessions.adapters.gateways.remote_conversations import RemoteConversations
from openhands_sessions.adapters.gateways.rest import RestClient, ServerAddress, timeouts
from openhands_sessions.adapters.gateways.wire import UnreadableMessage, command_wire
from openhands_sessions.core.commands import Command, SendMessage
from openhands_sessions.core.errors import NotFound, Unreachable
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.gateway import Accepted, EndReason, FeedItem, SessionInfo, SessionSpec

PATIENCE = 60.0
"""Seconds that a server may be away before following and sending give up."""


class RemoteGateway:
    """Conversations of one server, as its owner of the key sees them."""

    def __init__(
        self,
        archive: RemoteConversations,
        rest: RestClient,
        new_connection: Callable[[ConversationId], GatewayConnection],
        patience: float,
    ) -> None:
        self._archive = archive
        self._rest = rest
        self._new_connection = new_connection
        self._patience = patience
        self._followers: dict[ConversationId, list[Follower]] = {}

    async def open(self, spec: SessionSpec) -> SessionInfo:
        try:
            await self.describe(spec.id)
        except NotFound:
            if not spec.create:
                raise
            await self._create(spec)
        else:
            await self._rest.call("POST", f"/api/conversations/{spec.id}/start", body={})
        return await self.describe(spec.id)

    async def submit(self, sid: ConversationId, command: Command, *, key: str | None = None) -> Accepted:
        wire = command_wire(command, key or uuid4().hex)
        problem: Exception | None = None
        for _ in delays(self._patience):
            followers = self._followers.get(sid, ())
            connection = next((each.connection for each in followers if each.connection.alive), None)
            try:
                return await (self._send_alone(sid, wire) if connection is None else connection.call(wire))
            except UnreadableMessage:
                raise
            except AGAIN as error:
                problem = error
        raise Unreachable("the server does not answer; it is not known whether the command arrived") from problem

    @asynccontextmanager
    async def follow(self, sid: ConversationId, after: int) -> AsyncIterator[AsyncIterator[FeedItem]]:
        follower = Follower(lambda: self._new_connection(sid), after, self._patience)
        await follower.open()
        followers = self._followers.setdefault(sid, [])
        followers.append(follower)
        items = follower.items()
        try:
            yield items
        finally:
            await items.aclose()
            followers.remove(follower)
            if not followers:
                self._followers.pop(sid, None)
            await follower.close()

    async def describe(self, sid: ConversationId) -> SessionInfo:
        return await self._archive.describe(sid)

    async def close(self, sid: ConversationId, reason: EndReason) -> None:
        await self._rest.call("POST", f"/api/conversations/{sid}/stop", body={})

    async def _create(self, spec: SessionSpec) -> None:
        later = bool(spec.image_urls)  # what makes a conversation carries no images: a message of its own does
        making: dict[str, Json] = {"settings": spec.settings}
        if not later:
            making["initial_user_msg"] = spec.initial_message
        if spec.replay_json is not None:
            making["replay_json"] = spec.replay_json
        connection = self._new_connection(spec.id)
        try:
            await connection.connect(-1, making)
            if later:
                said = SendMessage(content=spec.initial_message or "", image_urls=spec.image_urls)
                await connection.call(command_wire(said, f"opening-{spec.id}"))
        finally:
            await connection.close()
        if spec.title is not None:
            await self._archive.rename(spec.id, spec.title)

    async def _send_alone(self, sid: ConversationId, wire: dict[str, Json]) -> Accepted:
        """Over a connection for this one command, which follows from the head on."""
        info = await self.describe(sid)
        connection = self._new_connection(sid)
        try:
            await connection.connect(info.head)
            return await connection.call(wire)
        finally:
            await connection.close()


@dataclass(frozen=True, slots=True)
class Remote:
    """One other server."""

    gateway: RemoteGateway
    archive: RemoteConversations


@asynccontextmanager
async def open_remote(url: str, session_api_key: str | None, *, patience: float = PATIENCE) -> AsyncIterator[Remote]:
    """Speak to the server at `url`. Connects when first asked. Raises BadInput for what is no address."""
    address = ServerAddress.of(url)
    headers = {} if session_api_key is None else {"X-Session-API-Key": session_api_key}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        connector=connector, headers=headers, timeout=timeouts(), cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        rest = RestClient(session, address)
        archive = RemoteConversations(rest)
        gateway = RemoteGateway(archive, rest, lambda sid: GatewayConnection(session, address, sid), patience)
        yield Remote(gateway, archive)
