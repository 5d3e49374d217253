"""Accounts of users in SQLite: one row for each user, day, model and purpose."""

import asyncio
import sqlite3
from collections.abc import Sequence
from datetime import date
from functools import partial

from openhands_sessions.adapters.stores.checksums import account_checksum
from openhands_sessions.adapters.stores.sqlite_reader import ReaderPool
from openhands_sessions.adapters.stores.sqlite_writer import StoreCall, Writer
from openhands_sessions.core.errors import StorageError
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.core.quotas import Quota, Share, check
from openhands_sessions.ports.accounts import AccountEntry, ReservedShare

DAMAGED = "what a user's model calls have used is damaged on the disk: ask the operator to restore a backup"


class SqliteAccounts:
    """An Accounts over one database."""

    def __init__(self, writer: Writer, readers: ReaderPool) -> None:
        self._writer = writer
        self._readers = readers

    async def reserve(self, wanted: ReservedShare, quotas: Sequence[Quota]) -> None:
        await self._writer.call(None, partial(_reserve, wanted, quotas))

    def release(self, sid: ConversationId, number: int | None = None) -> "asyncio.Future[None]":
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writer.submit(StoreCall(future, None, partial(_release, sid, number)))
        return future

    async def taken(self, user: OwnerId, day: date, quotas: Sequence[Quota]) -> Sequence[Share]:
        return await self._readers.call(partial(_all_taken, user, day, quotas))

    async def entries(self, user: OwnerId, first: date, last: date) -> Sequence[AccountEntry]:
        return await self._readers.call(partial(_entries, user, first, last))


def _reserve(wanted: ReservedShare, quotas: Sequence[Quota], connection: sqlite3.Connection) -> None:
    of_user = (wanted.user, wanted.day.isoformat())
    taken = _Taken(connection, *of_user, wanted.sid)
    for quota in quotas:
        check(quota, taken.of(quota), taken.wanted(quota, wanted.share), wanted.day)
    for table in ("account_conversations", "account_reservations"):  # of earlier days
        connection.execute(f"DELETE FROM {table} WHERE user = ? AND day < ?", of_user)
    connection.execute(
        "INSERT OR REPLACE INTO account_reservations VALUES (?, ?, ?, ?, ?, ?, ?)",
        (*of_user, wanted.model, wanted.sid, wanted.number, wanted.share.tokens, wanted.share.micro_dollars),
    )


def _release(sid: ConversationId, number: int | None, connection: sqlite3.Connection) -> None:
    connection.execute(
        "DELETE FROM account_reservations WHERE conversation = ? AND (number = ? OR ? IS NULL)", (sid, number, number)
    )


def _all_taken(user: OwnerId, day: date, quotas: Sequence[Quota], connection: sqlite3.Connection) -> Sequence[Share]:
    taken = _Taken(connection, user, day.isoformat())
    return [taken.of(quota) for quota in quotas]


class _Taken:
    """What is taken of one user's day. `sid` is the conversation that asks."""

    def __init__(self, connection: sqlite3.Connection, user: str, day: str, sid: ConversationId | None = None) -> None:
        self._connection = connection
        self._of_user = (user, day)
        self._sid = sid
        self._shares = [
            (
                entry.model,
                Share(tokens=entry.prompt_tokens + entry.completion_tokens, micro_dollars=entry.micro_dollars),
            )
            for entry in _entries(user, date.fromisoformat(day), date.fromisoformat(day), connection)
        ]
        rows = connection.execute(
            "SELECT model, sum(tokens), sum(micro_dollars) FROM account_reservations WHERE user = ? AND day = ?"
            " GROUP BY model",
            self._of_user,
        )
        self._shares += [(model, Share(tokens=tokens, micro_dollars=amount)) for model, tokens, amount in rows]
        self._conversations: set[tuple[str, str]] | None = None

    def of(self, quota: Quota) -> Share:
        """What is taken of a quota."""
        shares = [share for model, share in self._shares if quota.covers(model)]
        return Share(
            tokens=sum(share.tokens for share in shares),
            micro_dollars=sum(share.micro_dollars for share in shares),
            conversations=0 if quota.conversations is None else len(self._counted(quota)),
        )

    def wanted(self, quota: Quota, share: Share) -> Share:
        """The share that a call of the conversation wants: it counts once."""
        counts = quota.conversations is not None and self._sid not in self._counted(quota)
        return Share(tokens=share.tokens, micro_dollars=share.micro_dollars, conversations=int(counts))

    def _counted(self, quota: Quota) -> set[str]:
        if self._conversations is None:
            some = "SELECT model, conversation FROM {} WHERE user = ? AND day = ?"
            both = " UNION ".join(some.format(table) for table in ("account_conversations", "account_reservations"))
            self._conversations = set(self._connection.execute(both, self._of_user * 2))
        return {sid for model, sid in self._conversations if quota.covers(model)}


def _entries(user: OwnerId | str, first: date, last: date, connection: sqlite3.Connection) -> Sequence[AccountEntry]:
    rows = connection.execute(
        "SELECT * FROM accounts WHERE user = ? AND day BETWEEN ? AND ? ORDER BY day, model, purpose",
        (user, first.isoformat(), last.isoformat()),
    )
    found: list[AccountEntry] = []
    for *values, checksum in rows:
        if checksum != account_checksum(values):
            raise StorageError(DAMAGED)
        _, day, model, purpose, *figures = values
        found.append(AccountEntry(date.fromisoformat(day), model, purpose, *figures))
    return found
