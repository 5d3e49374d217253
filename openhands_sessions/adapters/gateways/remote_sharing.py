"""Whom conversations on another server are shared with."""

from collections.abc import Sequence
from typing import Any

from openhands_sessions.adapters.gateways.reading import read
from openhands_sessions.adapters.gateways.rest import RestClient
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.core.permissions import Permission
from openhands_sessions.ports.sharing import Grant, NewLink
from openhands_sessions.protocol import routes
from openhands_sessions.protocol.shares import GrantIn, GrantOut, LinkIn, LinkOut, SharesOut


class RemoteSharing:
    """A Sharing over REST. Every call raises Unreachable where the server does not answer. The server validates what it
    is sent, and its refusal names the field."""

    def __init__(self, rest: RestClient) -> None:
        self._rest = rest

    async def shares(self, sid: ConversationId) -> Sequence[Grant]:
        return read(SharesOut, await self._rest.call(routes.LIST_SHARES, sid), "a list of shares").shares()

    async def grant(self, sid: ConversationId, user: OwnerId, permission: Permission) -> Grant:
        given: dict[str, Any] = {"user": user, "permission": permission.value}
        body = GrantIn.model_construct(**given)
        return read(GrantOut, await self._rest.call(routes.SHARE, sid, body=body), "a share").share()

    async def revoke(self, sid: ConversationId, user: OwnerId) -> None:
        await self._rest.call(routes.UNSHARE, sid, query={"user": user})

    async def new_link(self, sid: ConversationId, permission: Permission, seconds: float) -> NewLink:
        given: dict[str, Any] = {"permission": permission.value, "hours": seconds / 3_600}
        body = LinkIn.model_construct(**given)
        return read(LinkOut, await self._rest.call(routes.MAKE_LINK, sid, body=body), "a link").new_link()

    async def revoke_link(self, sid: ConversationId, link: str) -> None:
        await self._rest.call(routes.REVOKE_LINK, sid, query={"link": link})
