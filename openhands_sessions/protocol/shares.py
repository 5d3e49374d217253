"""Whom a conversation is shared with, and links to it, in both directions."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import Field

from openhands_sessions.core.permissions import Permission
from openhands_sessions.ports.sharing import Grant, Grantee, NewLink
from openhands_sessions.protocol.payloads import Payload, Reply, Timestamp

Shared = Literal["view", "write"]
"""`view`: follow, and read events and files; `write`: tell the session what to do too, and upload files."""


class GrantIn(Payload):
    """A user who is let in. Nobody asks whether there is such a user: it counts once one comes."""

    user: str = Field(max_length=1_000)
    permission: Shared = "view"


class LinkIn(Payload):
    """A link: whoever has its token is let in, for so many hours."""

    permission: Shared = "view"
    hours: float = Field(24.0, gt=0, allow_inf_nan=False)


class GrantOut(Reply):
    """A user who is let in, since when, and to do what."""

    user: str
    permission: Shared
    created_at: Timestamp

    @classmethod
    def of(cls, share: Grant) -> "GrantOut":
        return cls.model_validate(
            {"user": share.grantee.name, "permission": share.permission.value, "created_at": share.created_at}
        )

    def share(self) -> Grant:
        grantee, permission = Grantee("user", self.user), Permission(self.permission)
        return Grant(grantee=grantee, permission=permission, created_at=self.created_at)


class SharedLinkOut(Reply):
    """A link, without its token."""

    id: str
    permission: Shared
    created_at: Timestamp
    expires_at: Timestamp | None

    @classmethod
    def of(cls, share: Grant) -> "SharedLinkOut":
        return cls.model_validate(_link(share))

    def share(self) -> Grant:
        grantee, permission = Grantee("link", self.id), Permission(self.permission)
        return Grant(grantee=grantee, permission=permission, created_at=self.created_at, expires_at=self.expires_at)


class LinkOut(SharedLinkOut):
    """A new link. Its token is sent where a key is sent."""

    token: str

    @classmethod
    def of_new(cls, link: NewLink) -> "LinkOut":
        return cls.model_validate({**_link(link.share), "token": link.token})

    def new_link(self) -> NewLink:
        return NewLink(self.share(), self.token)


class SharesOut(Reply):
    """Whom a conversation is shared with, and who follows it now: ids of users, and `link:` with the id of a link."""

    users: list[GrantOut]
    links: list[SharedLinkOut]
    watchers: list[str]

    @classmethod
    def of(cls, shares: Sequence[Grant], watchers: Sequence[str]) -> "SharesOut":
        return cls(
            users=[GrantOut.of(each) for each in shares if each.grantee.kind == "user"],
            links=[SharedLinkOut.of(each) for each in shares if each.grantee.kind == "link"],
            watchers=list(watchers),
        )

    def shares(self) -> list[Grant]:
        """Oldest first."""
        users = [each.share() for each in self.users]
        return sorted((*users, *(each.share() for each in self.links)), key=_since)


def _since(share: Grant) -> datetime:
    return share.created_at


def _link(share: Grant) -> dict[str, object]:
    return {
        "id": share.grantee.name,
        "permission": share.permission.value,
        "created_at": share.created_at,
        "expires_at": share.expires_at,
    }
