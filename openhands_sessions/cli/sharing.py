"""`sessions share`: whom a conversation is shared with."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openhands_sessions.cli.output import clean, columns, print_json
from openhands_sessions.cli.sessions import ConversationsTarget, find
from openhands_sessions.config.errors import ConfigError
from openhands_sessions.core.events.codec import timestamp_text
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.core.permissions import Permission
from openhands_sessions.ports.access import Access
from openhands_sessions.ports.sharing import Grant, NewLink


@dataclass(frozen=True, kw_only=True, slots=True)
class ShareOptions:
    """What is asked for: at most one of `user`, `link`, `revoke` and `revoke_link`; without any, the list."""

    user: str | None = None
    link: bool = False
    write: bool = False
    hours: float | None = None
    revoke: str | None = None
    revoke_link: str | None = None


def share(target: ConversationsTarget, sid: str, asked: ShareOptions, *, as_json: bool) -> int:
    """Let a user in, make a link, or take either back; without any of it, list them. Raises ConfigError."""
    _check(asked)
    done = target.ask(lambda access: _done(access, sid, asked))
    if as_json:
        print_json([_wire(each) for each in done] if isinstance(done, list) else _wire(done))
    else:
        _print(done)
    return 0


def _check(asked: ShareOptions) -> None:
    chosen = [asked.user is not None, asked.link, asked.revoke is not None, asked.revoke_link is not None]
    if sum(chosen) > 1:
        raise ConfigError("sessions share", "takes one of --user, --link, --revoke and --revoke-link at a time")
    if asked.write and not (asked.user is not None or asked.link):
        raise ConfigError("--write", "belongs to --user or --link")
    if asked.hours is not None and not asked.link:
        raise ConfigError("--hours", "belongs to --link: a user is let in until you revoke it")


async def _done(access: Access, text: str, asked: ShareOptions) -> list[Grant] | Grant | NewLink:
    sid = (await find(access, text)).id
    permission = Permission.WRITE if asked.write else Permission.VIEW
    if asked.user is not None:
        return await access.sharing.grant(sid, OwnerId(asked.user), permission)
    if asked.link:
        seconds = (24.0 if asked.hours is None else asked.hours) * 3_600
        return await access.sharing.new_link(sid, permission, seconds)
    await _revoke(access, sid, asked)
    return list(await access.sharing.shares(sid))


async def _revoke(access: Access, sid: ConversationId, asked: ShareOptions) -> None:
    if asked.revoke is not None:
        await access.sharing.revoke(sid, OwnerId(asked.revoke))
    if asked.revoke_link is not None:
        await access.sharing.revoke_link(sid, asked.revoke_link)


def _print(done: Sequence[Grant] | Grant | NewLink) -> None:
    """A token alone on standard output, for a file or a pipe."""
    if isinstance(done, NewLink):
        print(done.token)
        share = done.share
        until = "" if share.expires_at is None else f", until {timestamp_text(share.expires_at)}"
        print(f"link {share.grantee.name}: {share.permission}{until}; it is shown this once", file=sys.stderr)
        return
    listed = [done] if isinstance(done, Grant) else done
    if not listed:
        print("shared with nobody")
        return
    rows = [
        (
            each.grantee.kind,
            clean(each.grantee.name),
            each.permission,
            timestamp_text(each.created_at),
            "-" if each.expires_at is None else timestamp_text(each.expires_at),
        )
        for each in listed
    ]
    print(columns(("kind", "who", "may", "since", "until"), rows))


def _wire(done: Grant | NewLink) -> dict[str, Any]:
    if isinstance(done, NewLink):
        return {**_wire(done.share), "token": done.token}
    return {
        "kind": done.grantee.kind,
        "name": done.grantee.name,
        "permission": done.permission,
        "created_at": timestamp_text(done.created_at),
        "expires_at": None if done.expires_at is None else timestamp_text(done.expires_at),
    }
