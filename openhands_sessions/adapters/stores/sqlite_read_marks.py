"""How far users have read, in SQLite."""

import sqlite3
from collections.abc import Mapping, Sequence
from functools import partial

from openhands_sessions.adapters.stores.checksums import read_mark_checksum
from openhands_sessions.adapters.stores.sqlite_reader import ReaderPool
from openhands_sessions.adapters.stores.sqlite_schema import LIVE
from openhands_sessions.adapters.stores.sqlite_writer import Writer
from openhands_sessions.core.errors import DamagedRecord, NotFound
from openhands_sessions.core.ids import UNNUMBERED, ConversationId, EventId, OwnerId

READ_MARK = "how far a user has read this conversation"


class SqliteReadMarks:
    """One row for each user and conversation."""

    def __init__(self, writer: Writer, readers: ReaderPool) -> None:
        self._writer = writer
        self._readers = readers

    async def marks(self, user: OwnerId, sids: Sequence[ConversationId]) -> Mapping[ConversationId, EventId]:
        if not sids:
            return {}
        found, damaged = await self._readers.call(partial(_marks, user, sids))
        for sid in damaged:
            self._readers.condition.note_record(DamagedRecord.of(READ_MARK, sid))
        return found

    async def raise_to(self, user: OwnerId, sid: ConversationId, event: EventId) -> EventId:
        return await self._writer.call(None, partial(_raise_to, user, sid, event))


def _marks(
    user: OwnerId, sids: Sequence[ConversationId], connection: sqlite3.Connection
) -> tuple[dict[ConversationId, EventId], list[ConversationId]]:
    """The marks, and whose are damaged."""
    places = ", ".join("?" * len(sids))
    rows = connection.execute(
        "SELECT id, conversation, user, event, read_marks.checksum FROM conversations"
        f" JOIN read_marks ON conversation = key AND user = ? WHERE id IN ({places}) AND gone = {LIVE}",
        (user, *sids),
    )
    found: dict[ConversationId, EventId] = {}
    damaged: list[ConversationId] = []
    for sid, *values, checksum in rows.fetchall():
        if checksum == read_mark_checksum(*values):
            found[sid] = EventId(values[-1])
        else:
            damaged.append(sid)
    return found, damaged


def _raise_to(user: OwnerId, sid: ConversationId, event: EventId, connection: sqlite3.Connection) -> EventId:
    row = connection.execute("SELECT key FROM conversations WHERE id = ? AND gone = ?", (sid, LIVE)).fetchone()
    if row is None:
        raise NotFound("conversation", sid)
    found, _ = _marks(user, [sid], connection)
    old = found.get(sid, UNNUMBERED)
    if event <= old:
        return old
    mark = (row[0], user, event)
    connection.execute("INSERT OR REPLACE INTO read_marks VALUES (?, ?, ?, ?)", (*mark, read_mark_checksum(*mark)))
    return event
