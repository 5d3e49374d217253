"""Whom one caller shares its conversations with, in this process's store."""

import secrets
from collections.abc import Sequence
from datetime import timedelta

from openhands_sessions.core.errors import BadInput, NotFound
from openhands_sessions.core.ids import ConversationId, OwnerId, owner_id
from openhands_sessions.core.permissions import Permission
from openhands_sessions.ports.access import Principal
from openhands_sessions.ports.sharing import Grant, Grantee, LinkTokens, NewLink, SharedLink
from openhands_sessions.ports.store import ConversationRow
from openhands_sessions.service.session_service import SessionService

MOST_SHARES = 100
"""Users and links of one conversation."""
SHORTEST_LINK = 60.0
"""Seconds that a link counts at least."""
LONGEST_LINK = 366 * 24 * 3_600.0


class LocalSharing:
    """Shares the conversations of one principal."""

    def __init__(
        self, sessions: SessionService, tokens: LinkTokens, principal: Principal, *, users_apart: bool
    ) -> None:
        """`users_apart`: whether callers are different users."""
        self._sessions = sessions
        self._shares = sessions.store.shares
        self._tokens = tokens
        self._principal = principal
        self._users_apart = users_apart

    async def shares(self, sid: ConversationId) -> Sequence[Grant]:
        await self._own(sid)
        now = self._sessions.clock()
        return [each for each in await self._shares.of(sid) if each.expires_at is None or each.expires_at > now]

    async def grant(self, sid: ConversationId, user: OwnerId, permission: Permission) -> Grant:
        row = await self._own(sid)
        user = owner_id(user)
        _check_permission(permission)
        if not self._users_apart:
            raise BadInput(
                "user", "cannot be let in, as all callers of this server are one user (auth.kind): make a link"
            )
        if user == row.owner:
            raise BadInput("user", "is the owner, who may do everything")
        share = Grant(grantee=Grantee("user", user), permission=permission, created_at=self._sessions.clock())
        await self._shares.put(sid, share, most=MOST_SHARES)
        self._sessions.registry.lists.shared(user, sid)
        self._sessions.note(self._principal, "shared", sid, user=user, permission=permission.value)
        return share

    async def revoke(self, sid: ConversationId, user: OwnerId) -> None:
        row = await self._own(sid)
        if not await self._shares.remove(sid, Grantee("user", user)):
            raise NotFound("user", user[:128])
        self._sessions.watchers.end(sid, Grantee("user", user), "revoked")
        self._sessions.registry.lists.unshared(user, row.id)
        self._sessions.note(self._principal, "unshared", sid, user=user)

    async def new_link(self, sid: ConversationId, permission: Permission, seconds: float) -> NewLink:
        await self._own(sid)
        _check_permission(permission)
        if not SHORTEST_LINK <= seconds <= LONGEST_LINK:
            raise BadInput("hours", "must be from a minute to 366 days")
        now = self._sessions.clock()
        expires = now + timedelta(seconds=seconds)
        link = SharedLink(secrets.token_hex(8), sid, expires.timestamp())
        token = await self._tokens.issue(link)
        grantee = Grantee("link", link.id)
        share = Grant(grantee=grantee, permission=permission, created_at=now, expires_at=expires)
        await self._shares.put(sid, share, most=MOST_SHARES)
        self._sessions.note(self._principal, "link_made", sid, link=link.id, permission=permission.value)
        return NewLink(share, token)

    async def revoke_link(self, sid: ConversationId, link: str) -> None:
        await self._own(sid)
        if not await self._shares.remove(sid, Grantee("link", link)):
            raise NotFound("link", link[:64])
        self._sessions.watchers.end(sid, Grantee("link", link), "revoked")
        self._sessions.note(self._principal, "link_revoked", sid, link=link)

    async def _own(self, sid: ConversationId) -> ConversationRow:
        return await self._sessions.row(self._principal, sid, Permission.OWN)


def _check_permission(permission: Permission) -> None:
    """Raises BadInput for what stays the owner's."""
    if permission is Permission.OWN:
        raise BadInput("permission", "must be view or write")
