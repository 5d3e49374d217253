"""Whom conversations are shared with, in SQLite."""

import sqlite3
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from openhands_sessions.adapters.stores.checksums import share_checksum
from openhands_sessions.adapters.stores.encoding import microseconds, moment_of, size_of
from openhands_sessions.adapters.stores.sqlite_reader import ReaderPool
from openhands_sessions.adapters.stores.sqlite_schema import LIVE
from openhands_sessions.adapters.stores.sqlite_writer import Writer
from openhands_sessions.core.errors import DamagedRecord, LimitReached, NotFound
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.core.permissions import Permission
from openhands_sessions.ports.sharing import Grant, Grantee

SHARE = "whom this conversation is shared with"
_COLUMNS = "conversation, kind, name, permission, created_at, expires_at"


class SqliteShares:
    """One row for each conversation and grantee."""

    def __init__(self, writer: Writer, readers: ReaderPool) -> None:
        self._writer = writer
        self._readers = readers

    async def of(self, sid: ConversationId) -> Sequence[Grant]:
        found, damaged = await self._readers.call(partial(_of, sid))
        if damaged:
            self._readers.condition.note_record(DamagedRecord.of(SHARE, sid))
        return found

    async def put(self, sid: ConversationId, share: Grant, *, most: int) -> None:
        size_of("user", share.grantee.name)
        await self._writer.call(None, partial(_put, sid, share, most))

    async def remove(self, sid: ConversationId, grantee: Grantee) -> bool:
        return await self._writer.call(None, partial(_remove, sid, grantee))

    async def permissions(
        self, grantee: Grantee, sids: Sequence[ConversationId]
    ) -> Mapping[ConversationId, Permission]:
        if not sids:
            return {}
        found, damaged = await self._readers.call(partial(_permissions, grantee, sids))
        for sid in damaged:
            self._readers.condition.note_record(DamagedRecord.of(SHARE, sid))
        return found


def sound(values: Sequence[Any], checksum: object) -> bool:
    """Whether a row is as it was written."""
    return checksum == share_checksum(values)


def _of(sid: ConversationId, connection: sqlite3.Connection) -> tuple[list[Grant], bool]:
    """The shares, and whether others are damaged."""
    rows = connection.execute(
        f"SELECT {_COLUMNS}, checksum FROM shares WHERE conversation ="
        " (SELECT key FROM conversations WHERE id = ? AND gone = ?) ORDER BY created_at, kind, name",
        (sid, LIVE),
    ).fetchall()
    whole = [values for *values, checksum in rows if sound(values, checksum)]
    return [_share(values) for values in whole], len(whole) < len(rows)


def _share(values: Sequence[Any]) -> Grant:
    _, kind, name, permission, created_at, expires_at = values
    return Grant(
        grantee=Grantee(kind, name),
        permission=Permission(permission),
        created_at=moment_of(created_at),
        expires_at=None if expires_at is None else moment_of(expires_at),
    )


def _put(sid: ConversationId, share: Grant, most: int, connection: sqlite3.Connection) -> None:
    key = _key(sid, connection)
    connection.execute(
        "DELETE FROM shares WHERE conversation = ? AND expires_at <= ?", (key, microseconds(share.created_at))
    )
    [count] = connection.execute(
        "SELECT count(*) FROM shares WHERE conversation = ? AND (kind, name) <> (?, ?)", (key, *share.grantee)
    ).fetchone()
    if count >= most:
        raise LimitReached(
            f"the conversation is shared with {count} users and links, as many as one may be: revoke one",
            limit=most,
            count=count,
        )
    expires_at = None if share.expires_at is None else microseconds(share.expires_at)
    values = (key, *share.grantee, share.permission.value, microseconds(share.created_at), expires_at)
    connection.execute("INSERT OR REPLACE INTO shares VALUES (?, ?, ?, ?, ?, ?, ?)", (*values, share_checksum(values)))


def _key(sid: ConversationId, connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT key FROM conversations WHERE id = ? AND gone = ?", (sid, LIVE)).fetchone()
    if row is None:
        raise NotFound("conversation", sid)
    return int(row[0])


def _remove(sid: ConversationId, grantee: Grantee, connection: sqlite3.Connection) -> bool:
    done = connection.execute(
        "DELETE FROM shares WHERE conversation = (SELECT key FROM conversations WHERE id = ? AND gone = ?)"
        " AND kind = ? AND name = ?",
        (sid, LIVE, *grantee),
    )
    return done.rowcount > 0


def _permissions(
    grantee: Grantee, sids: Sequence[ConversationId], connection: sqlite3.Connection
) -> tuple[dict[ConversationId, Permission], list[ConversationId]]:
    """The permissions, and whose are damaged."""
    places = ", ".join("?" * len(sids))
    columns = ", ".join(f"shares.{name}" for name in _COLUMNS.split(", "))
    rows = connection.execute(
        f"SELECT id, {columns}, shares.checksum FROM conversations"
        f" JOIN shares ON conversation = key AND kind = ? AND name = ? WHERE id IN ({places}) AND gone = {LIVE}",
        (*grantee, *sids),
    )
    found: dict[ConversationId, Permission] = {}
    damaged: list[ConversationId] = []
    for sid, *values, checksum in rows.fetchall():
        if sound(values, checksum):
            found[sid] = _share(values).permission
        else:
            damaged.append(sid)
    return found, damaged
