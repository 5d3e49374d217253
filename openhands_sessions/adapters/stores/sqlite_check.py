"""Looks through a whole database that no server has open: `openhands-sessions store check`."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from openhands_sessions.adapters.stores.checksums import (
    account_checksum,
    read_mark_checksum,
    receipt_checksum,
    snapshot_checksum,
)
from openhands_sessions.adapters.stores.condition import ASTRAY, damage_told
from openhands_sessions.adapters.stores.log_reader import EventKinds, LogReader
from openhands_sessions.adapters.stores.sqlite_accounts import DAMAGED
from openhands_sessions.adapters.stores.sqlite_conversations import stored_row
from openhands_sessions.adapters.stores.sqlite_migrations import MIGRATIONS
from openhands_sessions.adapters.stores.sqlite_read_marks import READ_MARK
from openhands_sessions.adapters.stores.sqlite_schema import LIVE, connect_reader, unavailable
from openhands_sessions.adapters.stores.sqlite_shares import SHARE, sound
from openhands_sessions.adapters.stores.sqlite_states import check_state
from openhands_sessions.adapters.stores.write_ahead_log import find_lost, kept_logs
from openhands_sessions.core.errors import DamagedRecord, NotFound, StorageError
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.state import StateScope
from openhands_sessions.ports.store import StoreReport

_CHECKS = (("PRAGMA integrity_check(1)", "ok"), (ASTRAY, 0))
_LOST = "the write-ahead log is damaged: what was stored last is lost; the server keeps the log aside when it starts"


def check_sqlite(path: Path) -> StoreReport:
    """Read every row. Blocks. Raises StorageError where there is no database of this version."""
    if not path.exists():
        raise StorageError(f"there is no database {path.name}")
    kept = tuple(log.name for log in kept_logs(path))
    if find_lost(path.with_name(f"{path.name}-wal")) is not None:
        return StoreReport(problem=_LOST, kept_logs=kept)  # opening the database would drop it
    try:
        with closing(connect_reader(path)) as connection:
            [version] = connection.execute("PRAGMA user_version").fetchone()
            if version != len(MIGRATIONS):
                raise StorageError("the database has the form of another version: start this version's server once")
            for check, sound in _CHECKS:
                [found] = connection.execute(check).fetchone()
                if found != sound:
                    return StoreReport(problem=damage_told(found), kept_logs=kept)
            events, checked = connection.execute("SELECT count(*), count(checksum) FROM events").fetchone()
            damage = tuple(_damage(connection))
            return StoreReport(events=events, checked=checked, damage=damage, kept_logs=kept)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise unavailable(error) from error


def _damage(connection: sqlite3.Connection) -> Iterator[DamagedRecord]:
    kinds = EventKinds()
    found = connection.execute("SELECT key, id FROM conversations WHERE gone = ? ORDER BY key", (LIVE,))
    for key, sid in found.fetchall():
        try:
            stored_row(sid, connection)
        except DamagedRecord as error:
            yield error
        yield from _damaged_events(connection, sid, kinds)
        yield from _damaged_others(connection, sid, key)
    yield from _damaged_states(connection)
    for user, day, *values, checksum in connection.execute("SELECT * FROM accounts"):
        if checksum != account_checksum((user, day, *values)):
            yield DamagedRecord(f"{DAMAGED}: {user!r} on {day}")


def _damaged_events(connection: sqlite3.Connection, sid: ConversationId, kinds: EventKinds) -> Iterator[DamagedRecord]:
    reader = LogReader(sid, kinds, after=-1, before=None, reverse=False, limit=None)
    while not reader.done:
        try:
            reader.next(connection)
        except DamagedRecord as error:
            yield error
            after = -1 if error.last is None else error.last
            reader = LogReader(sid, kinds, after=after, before=None, reverse=False, limit=None)


def _damaged_others(connection: sqlite3.Connection, sid: ConversationId, key: int) -> Iterator[DamagedRecord]:
    receipts = connection.execute("SELECT key, digest, event, checksum FROM receipts WHERE conversation = ?", (key,))
    for *values, checksum in receipts:
        if checksum not in (None, receipt_checksum(key, *values)):
            yield DamagedRecord.of("what a command of this conversation did", sid)
    snapshots = connection.execute("SELECT head, version, text, checksum FROM snapshots WHERE conversation = ?", (key,))
    for head, version, text, checksum in snapshots:
        if not isinstance(text, str) or checksum not in (None, snapshot_checksum(key, head, version, text)):
            yield DamagedRecord.of("a snapshot of this conversation", sid)
    marks = connection.execute("SELECT user, event, checksum FROM read_marks WHERE conversation = ?", (key,))
    for user, event, checksum in marks:
        if checksum != read_mark_checksum(key, user, event):
            yield DamagedRecord.of(READ_MARK, sid)
    for *values, checksum in connection.execute("SELECT * FROM shares WHERE conversation = ?", (key,)):
        if not sound(values, checksum):
            yield DamagedRecord.of(SHARE, sid)


def _damaged_states(connection: sqlite3.Connection) -> Iterator[DamagedRecord]:
    for kind, name in connection.execute("SELECT kind, name FROM states").fetchall():
        try:
            check_state(StateScope(kind, name), connection)
        except NotFound:
            continue  # its conversation was deleted
        except DamagedRecord as error:
            yield error
