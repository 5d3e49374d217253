"""Whether SQLite can do on this machine, in this folder, what the store needs of it."""

import sqlite3
import tempfile
from pathlib import Path

from openhands_sessions.core.errors import StorageUnavailable


def probe_sqlite(folder: Path) -> str:
    """The library's version, once a database in the folder has been written to with a write-ahead log. Raises
    StorageUnavailable. Blocks for some milliseconds."""
    try:
        with tempfile.TemporaryDirectory(prefix=".probe-", dir=folder) as place:
            connection = sqlite3.connect(Path(place) / "probe.db")
            try:
                [mode] = connection.execute("PRAGMA journal_mode = WAL").fetchone()
                connection.execute("CREATE TABLE probe (id INTEGER PRIMARY KEY)")
            finally:
                connection.close()
    except (sqlite3.Error, OSError) as error:
        raise StorageUnavailable(f"no database can be written there: {error}") from error
    if mode != "wal":
        raise StorageUnavailable(f"this file system keeps no write-ahead log (journal mode {mode}); use a local disk")
    return sqlite3.sqlite_version
