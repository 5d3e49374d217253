"""Sharing a conversation: with users of the server, and by links with whoever has one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.core.permissions import Permission


class Grantee(NamedTuple):
    """Who is let in: a user, by its id, or who has a link, by the link's."""

    kind: Literal["user", "link"]
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """What a conversation's owner allows a grantee, and since when; until `expires_at`, where that is set. Times are
    aware, UTC."""

    grantee: Grantee
    permission: Permission
    created_at: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SharedLink:
    """What a link's token says: `expires` is the time of day, in seconds, from which it is refused."""

    id: str
    conversation: ConversationId
    expires: float


@dataclass(frozen=True, slots=True)
class NewLink:
    """A link that was made, and its token, which is shown this once."""

    share: Grant
    token: str


class GrantStore(Protocol):
    """Whom each conversation is shared with. Every call is durable when it returns."""

    async def of(self, sid: ConversationId) -> Sequence[Grant]:
        """The shares of a conversation, oldest first. One that is not as it was written is left out."""

    async def put(self, sid: ConversationId, share: Grant, *, most: int) -> None:
        """Add a share, or replace the one of the same grantee; those that have expired by its `created_at` are
        removed. Raises NotFound where the conversation has no row,
        LimitReached where it has `most` shares already, exact also for calls at the same time."""

    async def remove(self, sid: ConversationId, grantee: Grantee) -> bool:
        """False where there was none."""

    async def permissions(
        self, grantee: Grantee, sids: Sequence[ConversationId]
    ) -> Mapping[ConversationId, Permission]:
        """What the grantee may do with these conversations, where they are shared with it. One that is not as it was
        written is left out. One call costs what the ids cost."""


class LinkTokens(Protocol):
    """Signs and verifies the tokens of links."""

    async def issue(self, link: SharedLink) -> str: ...

    async def read(self, token: str) -> SharedLink:
        """Raises Unauthorized that says what is wrong with it. Whether the link was revoked, the token does not
        say."""


class Sharing(Protocol):
    """Whom the caller shares its conversations with. Every call raises NotFound for an id that is unknown, deleted or
    not shared with the caller, and Forbidden for one that is."""

    async def shares(self, sid: ConversationId) -> Sequence[Grant]:
        """Whom the conversation is shared with, oldest first."""

    async def grant(self, sid: ConversationId, user: OwnerId, permission: Permission) -> Grant:
        """Let a user in, or change what it may. Nobody asks whether there is such a user: it counts once one comes.
        Raises BadInput for the owner, and where users are not told apart; LimitReached."""

    async def revoke(self, sid: ConversationId, user: OwnerId) -> None:
        """Let a user in no more; its connections to the conversation end. Raises NotFound where it was not let in."""

    async def new_link(self, sid: ConversationId, permission: Permission, seconds: float) -> NewLink:
        """A link that counts for so long. Raises BadInput, LimitReached."""

    async def revoke_link(self, sid: ConversationId, link: str) -> None:
        """Have a link count no more; the connections that use it end. Raises NotFound for an id of no link."""
