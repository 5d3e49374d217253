"""The snapshots of conversations in SQLite."""

import sqlite3
from functools import partial

from openhands_sessions.adapters.stores.checksums import snapshot_checksum
from openhands_sessions.adapters.stores.encoding import size_of
from openhands_sessions.adapters.stores.sqlite_reader import ReaderPool
from openhands_sessions.adapters.stores.sqlite_schema import LIVE, SPAN
from openhands_sessions.adapters.stores.sqlite_writer import Writer
from openhands_sessions.core.errors import DamagedRecord
from openhands_sessions.core.ids import ConversationId, EventId
from openhands_sessions.core.snapshots import kept
from openhands_sessions.ports.store import Snapshot


class SqliteSnapshots:
    """The snapshots of each conversation: more and more apart, the older they are."""

    def __init__(self, writer: Writer, readers: ReaderPool) -> None:
        self._writer = writer
        self._readers = readers

    async def load(self, sid: ConversationId, at: EventId | None = None) -> Snapshot | None:
        snapshot, damage = await self._readers.call(partial(_load, sid, at))
        if damage is not None:
            self._readers.condition.note_record(damage)
        return snapshot

    async def save(self, sid: ConversationId, snapshot: Snapshot) -> None:
        size_of("text", snapshot.text)
        await self._writer.call(sid, partial(save_snapshot, sid, snapshot))


def _load(
    sid: ConversationId, at: EventId | None, connection: sqlite3.Connection
) -> tuple[Snapshot | None, DamagedRecord | None]:
    """The newest one that is as it was written, and whether a newer one is not: it is worth no failure."""
    damage, top = None, SPAN if at is None else at
    while True:
        row = connection.execute(
            "SELECT conversation, head, version, text, checksum FROM snapshots"
            " WHERE conversation = (SELECT key FROM conversations WHERE id = ? AND gone = ?) AND head <= ?"
            " ORDER BY head DESC LIMIT 1",
            (sid, LIVE, top),
        ).fetchone()
        if row is None:
            return None, damage
        *values, checksum = row
        key, head, version, text = values
        if isinstance(text, str) and checksum in (None, snapshot_checksum(key, head, version, text)):
            return Snapshot(head=EventId(head), version=version, text=text), damage
        damage, top = DamagedRecord.of("a snapshot of this conversation", sid), EventId(head - 1)


def save_snapshot(sid: ConversationId, snapshot: Snapshot, connection: sqlite3.Connection) -> None:
    """A deleted conversation takes none."""
    run = connection.execute
    row = run("SELECT key FROM conversations WHERE id = ? AND gone = ?", (sid, LIVE)).fetchone()
    if row is None:
        return
    [key] = row
    values = (key, snapshot.head, snapshot.version, snapshot.text)
    run("INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?, ?)", (*values, snapshot_checksum(*values)))
    run("DELETE FROM snapshots WHERE conversation = ? AND version <> ?", (key, snapshot.version))
    heads = [head for (head,) in run("SELECT head FROM snapshots WHERE conversation = ?", (key,)).fetchall()]
    for head in set(heads).difference(kept(heads)):
        run("DELETE FROM snapshots WHERE conversation = ? AND head = ?", (key, head))
