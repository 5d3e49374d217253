"""The versions of the SQLite database: its tables, and the way from each version to the next."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

from openhands_sessions.adapters.stores.checksums import ROW_COLUMNS, receipt_checksum, row_checksum, snapshot_checksum
from openhands_sessions.core.snapshots import SPACING

APPLICATION = 0x4F485331
"""`OHS1`: marks the file as ours."""


def _type_the_rows(connection: sqlite3.Connection) -> None:
    """Give each field of `settings` its column, and leave the request's layer there."""
    rows = connection.execute("SELECT key, settings FROM conversations").fetchall()
    connection.executemany(
        "UPDATE conversations SET initial_message = ?, images_key = ?, replay_key = ?, repository_name = ?,"
        " repository_url = ?, branch = ?, git_provider = ?, checkout = ?, imported = ?, settings = ? WHERE key = ?",
        [(*_typed(json.loads(settings)), key) for key, settings in rows],
    )


def _typed(settings: dict[str, Any]) -> Iterator[str | int | None]:
    for name in ("message", "images", "replay", "repository", "checkout", "branch", "git_provider"):
        value = settings.get(name)
        yield value.encode(errors="replace").decode() if isinstance(value, str) else None
    yield "checkout" in settings
    imported, request = settings.get("imported"), settings.get("request")
    yield json.dumps(imported) if isinstance(imported, dict) else None
    yield json.dumps(request if isinstance(request, dict) else {})


MIGRATIONS: tuple[tuple[str | Callable[[sqlite3.Connection], None], ...], ...] = (
    (
        """CREATE TABLE conversations (
            key INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            owner TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL,
            title TEXT,
            trigger TEXT NOT NULL,
            settings TEXT NOT NULL,
            term INTEGER NOT NULL DEFAULT 0,
            held INTEGER NOT NULL DEFAULT 0,
            gone INTEGER NOT NULL DEFAULT 0)""",
        "CREATE INDEX conversations_by_time ON conversations (created_at, id) WHERE gone = 0",
        "CREATE INDEX conversations_by_owner ON conversations (owner, created_at, id) WHERE gone = 0",
        "CREATE INDEX conversations_held ON conversations (key) WHERE held = 1 AND gone = 0",
        "CREATE INDEX conversations_purging ON conversations (key) WHERE gone = 1",
        """CREATE TABLE forms (
            id INTEGER PRIMARY KEY,
            kind TEXT NOT NULL,
            schema INTEGER NOT NULL,
            UNIQUE (kind, schema))""",
        """CREATE TABLE events (
            key INTEGER PRIMARY KEY,
            form INTEGER NOT NULL,
            size INTEGER NOT NULL,
            text TEXT NOT NULL)""",
        """CREATE TABLE receipts (
            conversation INTEGER NOT NULL,
            key TEXT NOT NULL,
            digest TEXT NOT NULL,
            event INTEGER NOT NULL,
            PRIMARY KEY (conversation, key)) WITHOUT ROWID""",
        """CREATE TABLE snapshots (
            conversation INTEGER PRIMARY KEY,
            head INTEGER NOT NULL,
            version INTEGER NOT NULL,
            text TEXT NOT NULL)""",
    ),
    (
        "ALTER TABLE conversations ADD COLUMN version INTEGER NOT NULL DEFAULT 1",
        "ALTER TABLE conversations ADD COLUMN initial_message TEXT",
        "ALTER TABLE conversations ADD COLUMN images_key TEXT",
        "ALTER TABLE conversations ADD COLUMN replay_key TEXT",
        "ALTER TABLE conversations ADD COLUMN repository_name TEXT",
        "ALTER TABLE conversations ADD COLUMN repository_url TEXT",
        "ALTER TABLE conversations ADD COLUMN branch TEXT",
        "ALTER TABLE conversations ADD COLUMN git_provider TEXT",
        "ALTER TABLE conversations ADD COLUMN checkout INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE conversations ADD COLUMN imported TEXT",
        "ALTER TABLE conversations ADD COLUMN forked_from TEXT",
        "ALTER TABLE conversations ADD COLUMN sandbox TEXT",
        "ALTER TABLE conversations ADD COLUMN archived INTEGER NOT NULL DEFAULT 0",
        _type_the_rows,
        "ALTER TABLE snapshots RENAME TO old_snapshots",
        """CREATE TABLE snapshots (
            conversation INTEGER NOT NULL,
            head INTEGER NOT NULL,
            version INTEGER NOT NULL,
            text TEXT NOT NULL,
            PRIMARY KEY (conversation, head))""",
        # A longer log is folded whole when it is opened next, which makes its other snapshots.
        f"INSERT INTO snapshots SELECT * FROM old_snapshots WHERE head < {SPACING}",
        "DROP TABLE old_snapshots",
        "CREATE INDEX conversations_by_repository ON conversations (owner, repository_name, created_at, id)"
        " WHERE gone = 0",
        """CREATE TABLE holders (
            boot TEXT PRIMARY KEY,
            node TEXT NOT NULL,
            expires_at INTEGER NOT NULL) WITHOUT ROWID""",
        "ALTER TABLE conversations ADD COLUMN holder TEXT",
        "UPDATE conversations SET holder = '' WHERE held = 1",
        "DROP INDEX conversations_held",
        "ALTER TABLE conversations DROP COLUMN held",
        "CREATE INDEX conversations_held ON conversations (key) WHERE holder IS NOT NULL AND gone = 0",
        "CREATE INDEX conversations_by_trigger ON conversations (owner, trigger, created_at, id) WHERE gone = 0",
    ),
    ("ALTER TABLE conversations ADD COLUMN began_with TEXT",),
    (
        *(
            f"ALTER TABLE {table} ADD COLUMN checksum INTEGER"
            for table in ("events", "conversations", "receipts", "snapshots")
        ),
        # Where the pass goes on that gives events of earlier versions their checksums; no row where none is left.
        "CREATE TABLE checksum_pass (next INTEGER PRIMARY KEY)",
        "INSERT INTO checksum_pass SELECT 0 WHERE EXISTS (SELECT 1 FROM events)",
    ),
    (
        "CREATE TABLE sizes (conversation INTEGER PRIMARY KEY, bytes INTEGER NOT NULL)",
        # 4294967296 events of one conversation lie side by side: see SPAN.
        "INSERT INTO sizes SELECT key, (SELECT coalesce(sum(size), 0) FROM events"
        " WHERE events.key >= conversations.key * 4294967296 AND events.key < (conversations.key + 1) * 4294967296)"
        " FROM conversations WHERE gone = 0",
    ),
    (
        """CREATE TABLE read_marks (
            conversation INTEGER NOT NULL,
            user TEXT NOT NULL,
            event INTEGER NOT NULL,
            checksum INTEGER NOT NULL,
            PRIMARY KEY (conversation, user)) WITHOUT ROWID""",
    ),
    (
        "ALTER TABLE conversations ADD COLUMN approval_due INTEGER",
        "CREATE INDEX conversations_by_approval ON conversations (approval_due)"
        " WHERE approval_due IS NOT NULL AND gone = 0",
    ),
    (
        """CREATE TABLE accounts (
            user TEXT NOT NULL,
            day TEXT NOT NULL,
            model TEXT NOT NULL,
            purpose TEXT NOT NULL,
            calls INTEGER NOT NULL,
            lost INTEGER NOT NULL,
            prompt_tokens INTEGER NOT NULL,
            completion_tokens INTEGER NOT NULL,
            cache_read_tokens INTEGER NOT NULL,
            cache_write_tokens INTEGER NOT NULL,
            micro_dollars INTEGER NOT NULL,
            unpriced INTEGER NOT NULL,
            checksum INTEGER NOT NULL,
            PRIMARY KEY (user, day, model, purpose)) WITHOUT ROWID""",
        # Which conversations count for quotas of today, and what calls under way may take; earlier days are removed.
        """CREATE TABLE account_conversations (
            user TEXT NOT NULL,
            day TEXT NOT NULL,
            model TEXT NOT NULL,
            conversation TEXT NOT NULL,
            PRIMARY KEY (user, day, model, conversation)) WITHOUT ROWID""",
        """CREATE TABLE account_reservations (
            user TEXT NOT NULL,
            day TEXT NOT NULL,
            model TEXT NOT NULL,
            conversation TEXT NOT NULL,
            number INTEGER NOT NULL,
            tokens INTEGER NOT NULL,
            micro_dollars INTEGER NOT NULL,
            PRIMARY KEY (user, day, model, conversation, number)) WITHOUT ROWID""",
        "CREATE INDEX account_reservations_by_conversation ON account_reservations (conversation)",
    ),
    (
        """CREATE TABLE shares (
            conversation INTEGER NOT NULL,
            kind TEXT NOT NULL,
            name TEXT NOT NULL,
            permission TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            expires_at INTEGER,
            checksum INTEGER NOT NULL,
            PRIMARY KEY (conversation, kind, name)) WITHOUT ROWID""",
        "CREATE INDEX shares_by_user ON shares (name) WHERE kind = 'user'",
    ),
    (
        """CREATE TABLE uploads (
            conversation INTEGER PRIMARY KEY,
            head INTEGER NOT NULL,
            saved INTEGER NOT NULL,
            tries INTEGER NOT NULL,
            next_at INTEGER NOT NULL)""",
        "CREATE INDEX uploads_by_time ON uploads (next_at, conversation) WHERE head > saved",
    ),
    (
        """CREATE TABLE history_moves (
            conversation INTEGER NOT NULL,
            event INTEGER NOT NULL,
            target INTEGER NOT NULL,
            checksum INTEGER NOT NULL,
            PRIMARY KEY (conversation, event)) WITHOUT ROWID""",
        """CREATE TABLE states (
            key INTEGER PRIMARY KEY,
            kind TEXT NOT NULL,
            name TEXT NOT NULL,
            conversation INTEGER NOT NULL,
            revision INTEGER NOT NULL,
            bytes INTEGER NOT NULL,
            moved INTEGER NOT NULL,
            checksum INTEGER NOT NULL,
            UNIQUE (kind, name))""",
        "CREATE INDEX states_by_conversation ON states (conversation) WHERE conversation > 0",
        """CREATE TABLE state_entries (
            state INTEGER NOT NULL,
            key TEXT NOT NULL,
            revision INTEGER NOT NULL,
            size INTEGER NOT NULL,
            value TEXT NOT NULL,
            file TEXT,
            checksum INTEGER NOT NULL,
            UNIQUE (state, key))""",
        # Side by side, as events: under `key of the state * 4294967296 + revision`.
        """CREATE TABLE state_changes (
            key INTEGER PRIMARY KEY,
            id TEXT NOT NULL,
            at INTEGER NOT NULL,
            text TEXT NOT NULL,
            checksum INTEGER NOT NULL)""",
        "CREATE INDEX state_changes_by_id ON state_changes (id)",
    ),
)
"""The steps of each version, in order; a version is never changed once released. `PRAGMA user_version` counts them."""


def migrate(connection: sqlite3.Connection) -> None:
    """All missing versions in one transaction; another process may do the same, so look again once the lock is held."""
    if number(connection, "PRAGMA user_version") == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    for steps in MIGRATIONS[number(connection, "PRAGMA user_version") :]:
        for step in steps:
            if isinstance(step, str):
                connection.execute(step)
            else:
                step(connection)
    seal_rows(connection)
    _seal_the_rest(connection)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    connection.execute("COMMIT")


def seal_rows(connection: sqlite3.Connection, sid: str | None = None) -> None:
    """Give the row of this conversation its checksum, or each row that has none yet."""
    which, values = ("checksum IS NULL", ()) if sid is None else ("id = ?", (sid,))
    rows = connection.execute(f"SELECT {', '.join(ROW_COLUMNS)}, key FROM conversations WHERE {which}", values)
    connection.executemany(
        "UPDATE conversations SET checksum = ? WHERE key = ?",
        [(row_checksum(row[:-1]), row[-1]) for row in rows.fetchall()],
    )


def _seal_the_rest(connection: sqlite3.Connection) -> None:
    """Receipts and snapshots are few and small beside the events, which get theirs in the background."""
    receipts = connection.execute("SELECT conversation, key, digest, event FROM receipts WHERE checksum IS NULL")
    connection.executemany(
        "UPDATE receipts SET checksum = ? WHERE conversation = ? AND key = ?",
        [(receipt_checksum(*row), *row[:2]) for row in receipts.fetchall()],
    )
    snapshots = connection.execute("SELECT conversation, head FROM snapshots WHERE checksum IS NULL").fetchall()
    for conversation, head in snapshots:  # one at a time: each may be large
        which = (conversation, head)
        [(version, text)] = connection.execute(
            "SELECT version, text FROM snapshots WHERE conversation = ? AND head = ?", which
        ).fetchall()
        if isinstance(text, str):
            connection.execute(
                "UPDATE snapshots SET checksum = ? WHERE conversation = ? AND head = ?",
                (snapshot_checksum(conversation, head, version, text), *which),
            )


def number(connection: sqlite3.Connection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])
