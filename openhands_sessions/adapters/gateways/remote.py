"""The Gateway to another server: Socket.IO by protocol 2, and REST."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

from openhands_sessions.adapters.gateways.connection import GatewayConnection
from openhands_sessions.adapters.gateways.follower import AGAIN, Follower, delays
from openhands_sessions.adapters.gateways.reading import UnreadableMessage, info_of, read
from openhands_sessions.adapters.gateways.remote_conversations import RemoteConversations
from openhands_sessions.adapters.gateways.remote_list import ListConnection, RemoteList
from openhands_sessions.adapters.gateways.remote_sharing import RemoteSharing
from openhands_sessions.adapters.gateways.remote_states import RemoteStates
from openhands_sessions.adapters.gateways.remote_usage import RemoteUsage
from openhands_sessions.adapters.gateways.remote_workspaces import RemoteWorkspaces
from openhands_sessions.adapters.gateways.rest import RestClient, ServerAddress, http_session
from openhands_sessions.core.commands import Command, SendMessage
from openhands_sessions.core.errors import NotFound, SessionsError, Unreachable
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.history_commands import Seed
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.core.lifecycle import SET_UP, SessionState
from openhands_sessions.ports.access import Access
from openhands_sessions.ports.gateway import (
    Accepted,
    Deliver,
    EndReason,
    FeedItem,
    SessionHandle,
    SessionInfo,
    SessionSpec,
    SessionUsage,
)
from openhands_sessions.protocol import routes, server_routes
from openhands_sessions.protocol.commands import command_wire
from openhands_sessions.protocol.conversations import CreateIn, StartIn
from openhands_sessions.protocol.login import LoginLinkOut

KNOWN = 256
"""Conversations whose newest description is kept."""
PATIENCE = 60.0
"""Seconds that a server may be away before following and sending give up."""


class RemoteGateway:
    """Sessions of one server, as the key's owner sees them."""

    def __init__(
        self,
        conversations: RemoteConversations,
        rest: RestClient,
        new_connection: Callable[[ConversationId], GatewayConnection],
        patience: float,
    ) -> None:
        self._conversations = conversations
        self._rest = rest
        self._new_connection = new_connection
        self._patience = patience
        self._followers: dict[ConversationId, list[Follower]] = {}
        self._known: dict[ConversationId, SessionInfo] = {}

    async def open(self, spec: SessionSpec) -> SessionInfo:
        try:
            await self.describe(spec.id)
        except NotFound:
            if not spec.create:
                raise
            await self._create(spec)
        else:
            await self._rest.call(routes.START_CONVERSATION, spec.id, body=StartIn())
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
    async def follow(
        self, sid: ConversationId, after: int, *, deliver: Deliver | None = None
    ) -> AsyncIterator[AsyncIterator[FeedItem]]:
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
        wire = await self._rest.call(routes.DESCRIBE_CONVERSATION, sid)
        if wire is None:
            self._known.pop(sid, None)
            raise NotFound("conversation", sid)
        info = self._known[sid] = info_of(wire)
        while len(self._known) > KNOWN:
            del self._known[next(iter(self._known))]
        return info

    async def ready(self, sid: ConversationId, within: float) -> None:
        for delay in delays(within):
            info = await self.describe(sid)
            if info.state not in (SessionState.CREATED, *SET_UP):
                return
            await asyncio.sleep(min(delay, within))

    def session(self, sid: ConversationId) -> SessionHandle | None:
        """As of the newest description."""
        info = self._known.get(sid)
        return None if info is None or info.state is None else SessionHandle(info.state, {}, SessionUsage())

    async def close(self, sid: ConversationId, reason: EndReason) -> None:
        await self._rest.call(routes.STOP_CONVERSATION, sid)

    async def _create(self, spec: SessionSpec) -> None:
        later = bool(spec.image_urls or spec.seed_messages)  # images go with a message of their own
        message = None if later else spec.initial_message
        # The server validates it, and its refusal names the field.
        body = CreateIn.model_construct(settings=spec.settings, initial_user_msg=message, replay_json=spec.replay_json)
        connection = self._new_connection(spec.id)
        try:
            await connection.connect(-1, body.wire())
            if spec.seed_messages:
                await self._seed(connection, spec)
            if later and (spec.image_urls or spec.initial_message is not None):
                said = SendMessage(content=spec.initial_message or "", image_urls=spec.image_urls)
                await connection.call(command_wire(said, f"opening-{spec.id}"))
        finally:
            await connection.close()
        if spec.title is not None:
            await self._conversations.rename(spec.id, spec.title)

    async def _seed(self, connection: GatewayConnection, spec: SessionSpec) -> None:
        """Or nothing is left of the conversation."""
        try:
            await connection.call(command_wire(Seed(messages=spec.seed_messages), f"seed-{spec.id}"))
        except SessionsError:
            await self._conversations.delete(spec.id)
            raise

    async def _send_alone(self, sid: ConversationId, wire: dict[str, Json]) -> Accepted:
        """Over a connection for this one command, which follows from the head on."""
        info = await self.describe(sid)
        connection = self._new_connection(sid)
        try:
            await connection.connect(info.head)
            return await connection.call(wire)
        finally:
            await connection.close()


@asynccontextmanager
async def open_remote(url: str, session_api_key: str | None, *, patience: float = PATIENCE) -> AsyncIterator[Access]:
    """The ports of the key's owner on the server at `url`. Connects when first asked. Raises BadInput for what is no
    address."""
    address = ServerAddress.of(url)
    async with http_session(session_api_key) as session:
        rest = RestClient(session, address)
        conversations = RemoteConversations(
            rest, lambda: RemoteList(lambda: ListConnection(session, address), patience)
        )
        gateway = RemoteGateway(conversations, rest, lambda sid: GatewayConnection(session, address, sid), patience)
        yield Access(
            gateway, conversations, RemoteWorkspaces(rest), RemoteUsage(rest), RemoteSharing(rest), RemoteStates(rest)
        )


async def new_login_token(url: str, session_api_key: str | None) -> str | None:
    """What logs a browser in at `url`, once; None where no key is needed. Raises as a RestClient does."""
    address = ServerAddress.of(url)
    async with http_session(session_api_key) as session:
        wire = await RestClient(session, address).call(server_routes.LOGIN_LINK)
    return read(LoginLinkOut, wire, "a login link").token
