"""Copies a database while a server writes to it, and looks whether a file is such a copy."""

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from openhands_sessions.adapters.stores.sqlite_migrations import APPLICATION, MIGRATIONS
from openhands_sessions.adapters.stores.sqlite_schema import LIVE, connect_reader, unavailable
from openhands_sessions.adapters.stores.write_ahead_log import SECOND_LOOK, find_lost
from openhands_sessions.core.errors import StorageError
from openhands_sessions.ports.store import StoredCounts

_LOST = "the write-ahead log is damaged, and a copy would lack what was stored last: see the howto Watch the server"
_STEP = 1_024
"""Pages copied at once, of 4 KiB."""


def back_up_sqlite(path: Path, copy: Path) -> StoredCounts:
    """Write all that is durable at this moment into a new file. Writers do not wait for it. Blocks. Raises
    StorageError, also where there is no database or it is damaged, and OSError where the copy cannot be written."""
    if not path.exists():
        raise StorageError(f"there is no database {path.name}: nothing was stored yet")
    _refuse_lost(path.with_name(f"{path.name}-wal"))
    copy.touch(mode=0o600, exist_ok=False)
    try:
        with closing(connect_reader(path)) as source, closing(sqlite3.connect(copy, isolation_level=None)) as target:
            target.execute("PRAGMA journal_mode = OFF")
            target.execute("PRAGMA synchronous = OFF")
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # now the transaction sees one moment
            with copy.open("rb") as written:
                # Written out step by step: a large write at once would hold up the commits of others.
                source.backup(target, pages=_STEP, progress=lambda *left: os.fdatasync(written.fileno()))
            counts = _counts(target)
    except sqlite3.Error as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            raise OSError(f"the copy of the database cannot be written: {error}") from error
        raise unavailable(error) from error
    with copy.open("rb") as written:
        os.fsync(written.fileno())
    return counts


def look_at_backup(path: Path) -> StoredCounts:
    """What a copy holds; nothing is written. Blocks. Raises StorageError where it is no sound database of this version
    or an earlier one."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            [application] = connection.execute("PRAGMA application_id").fetchone()
            [version] = connection.execute("PRAGMA user_version").fetchone()
            if application != APPLICATION:
                raise StorageError(f"{path.name} is no database of openhands-sessions")
            if version > len(MIGRATIONS):
                raise StorageError(f"{path.name} was made by a newer version: install that one first")
            return _counts(connection)
    except sqlite3.Error as error:
        raise StorageError(f"{path.name} is no sound database: {error}") from error


def _counts(connection: sqlite3.Connection) -> StoredCounts:
    """Raises StorageError for a database that is damaged inside."""
    [found] = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise StorageError(f"the database is damaged: {found}")
    [conversations] = connection.execute("SELECT count(*) FROM conversations WHERE gone = ?", (LIVE,)).fetchone()
    [events] = connection.execute("SELECT count(*) FROM events").fetchone()
    return StoredCounts(conversations=conversations, events=events)


def _refuse_lost(log: Path) -> None:
    lost = find_lost(log)
    if lost is None:
        return
    time.sleep(SECOND_LOOK)
    if find_lost(log) == lost:  # or another process writes to it
        raise StorageError(_LOST)
