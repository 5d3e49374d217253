"""The SQLite database: its tables, its versions, and how a connection to it is opened."""

import sqlite3
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from random import uniform

from openhands_sessions.adapters.stores.checksums import ESCAPES
from openhands_sessions.adapters.stores.sqlite_migrations import APPLICATION, MIGRATIONS, migrate, number
from openhands_sessions.core.errors import StorageError, StorageUnavailable

SPAN = 2**32
"""Events lie under `conversation key * SPAN + event id`: one tree, a conversation's events side by side."""

LIVE, PURGING, PURGED = 0, 1, 2
"""`conversations.gone`: there; deleted, with rows still to be removed; deleted. The row of a deleted one stays, with
nothing in it but its id, which must not be used again."""

BUSY_SECONDS = 5.0
_BUSY_PAUSE = 0.002
_CHECKPOINT_PAGES = 4000
_LARGEST_LOG_LEFT = 32 * 1024 * 1024
_REPAIR = "stop the server, then restore a backup, or save what can be read with sqlite3's .dump"


def connect_writer(path: Path, *, begun: bool = False) -> sqlite3.Connection:
    """Open the database for writing; make or migrate it where needed. Its file is readable by its owner only, also
    where it was not; SQLite gives the files beside it the same mode. `begun`: there are workspaces of conversations, so
    a database that is missing, or has never held any, is refused.

    Raises StorageError for a database that is not ours or newer than we know, or that has lost what it held,
    StorageUnavailable where the world is in the way.
    """
    try:
        if begun and not path.exists():
            raise _lost(path.name, "missing")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.chmod(0o600)
        with ExitStack() as undo:
            connection = _connect(path)
            undo.callback(connection.close)
            _refuse_strangers(connection, path.name if begun else None)
            _keep_a_log(connection)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            connection.execute(f"PRAGMA journal_size_limit = {_LARGEST_LOG_LEFT}")
            migrate(connection)
            undo.pop_all()
            return connection
    except (OSError, sqlite3.Error, UnicodeDecodeError) as error:
        raise unavailable(error) from error


def _keep_a_log(connection: sqlite3.Connection) -> None:
    """Write-ahead logging. Where several processes make the database at once, SQLite does not wait for the lock that
    this takes, whatever the busy limit says."""
    execute_patiently(connection, "PRAGMA journal_mode = WAL")


def execute_patiently(connection: sqlite3.Connection, statement: str) -> None:
    """Take a lock that another process may have, up to the busy limit. Tries come at even intervals: SQLite's own
    become rarer the longer it waits, so that of many writers some would wait for seconds."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute(statement)
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(uniform(0, _BUSY_PAUSE))


def connect_reader(path: Path) -> sqlite3.Connection:
    """Open the existing database for reading. Raises sqlite3.Error."""
    connection = _connect(path)
    connection.execute("PRAGMA query_only = ON")
    return connection


def corruption(said: str) -> sqlite3.DatabaseError:
    """As SQLite would raise it, for damage that we have found ourselves."""
    error = sqlite3.DatabaseError(said)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def damaged(error: sqlite3.Error) -> bool:
    """Whether the error says that the file does not hold what SQLite wrote."""
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)  # the binding's own errors have none
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def unavailable(error: Exception) -> StorageUnavailable:
    """As an error of ours, caused by this one. SQLite's messages hold no path. One that quotes a damaged schema may be
    no text: Python then raises UnicodeDecodeError in its place."""
    said = error.strerror if isinstance(error, OSError) else str(error)
    unreadable = isinstance(error, UnicodeDecodeError)
    said = "its schema is no text" if unreadable else said
    refusal = StorageUnavailable(f"the database cannot be used now: {said}")
    if unreadable or (isinstance(error, sqlite3.Error) and damaged(error)):
        refusal = StorageUnavailable(f"the database is damaged ({said}): {_REPAIR}")
    refusal.__cause__ = error
    return refusal


def _connect(path: Path) -> sqlite3.Connection:
    """Several threads use a reader's connection, one at a time."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.text_factory = _text
    return connection


def _text(content: bytes) -> str:
    """A flipped bit may leave no UTF-8: then the row's checksum tells, instead of an error for the whole statement."""
    return content.decode("utf-8", ESCAPES)


def _refuse_strangers(connection: sqlite3.Connection, begun: str | None) -> None:
    """Before anything is written, pragmas included. `begun` is the name of a file that has held conversations."""
    version = number(connection, "PRAGMA user_version")
    if version > len(MIGRATIONS):
        raise StorageError(
            f"the database has the form of a newer version ({version}; this one knows {len(MIGRATIONS)}): "
            "run that version, or point to another database"
        )
    empty = number(connection, "SELECT count(*) FROM sqlite_master") == 0
    if not empty and number(connection, "PRAGMA application_id") != APPLICATION:
        raise StorageError("the database belongs to another program: point to another file")
    if begun is not None and (empty or _is_bare(connection)):
        raise _lost(begun, "empty")


def _is_bare(connection: sqlite3.Connection) -> bool:
    """Whether it has never held a conversation. A damaged one may have: it is opened, and says what is wrong."""
    try:
        return number(connection, "SELECT count(key) FROM conversations NOT INDEXED") == 0
    except sqlite3.DatabaseError as error:
        if damaged(error):
            return False
        raise


def _lost(name: str, how: str) -> StorageError:
    return StorageError(
        f"the database {name} is {how}, but there are workspaces of its conversations: restore it from a backup, or "
        "name its place in store.path; or, to begin without conversations, move the folder of the workspaces away "
        "(runtimes in the data folder, or what runtime.path names)"
    )


def probe_sqlite(folder: Path) -> str:
    """The library's version, once a database in the folder has been written to with a write-ahead log. Raises
    StorageUnavailable. Blocks for some milliseconds."""
    try:
        with (
            tempfile.TemporaryDirectory(prefix=".probe-", dir=folder) as place,
            closing(sqlite3.connect(Path(place) / "probe.db")) as connection,
        ):
            [mode] = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            connection.execute("CREATE TABLE probe (id INTEGER PRIMARY KEY)")
    except (sqlite3.Error, OSError) as error:
        raise StorageUnavailable(f"no database can be written there: {error}") from error
    if mode != "wal":
        raise StorageUnavailable(f"this file system keeps no write-ahead log (journal mode {mode}); use a local disk")
    return sqlite3.sqlite_version
