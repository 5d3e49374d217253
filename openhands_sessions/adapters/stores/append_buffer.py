"""Appends inside a transaction: each is checked against the log's head and term, then all are inserted together."""

import asyncio
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from openhands_sessions.adapters.stores.account_charges import add_charges
from openhands_sessions.adapters.stores.checksums import event_checksum, kind_seed, receipt_checksum
from openhands_sessions.adapters.stores.sqlite_moves import MOVE, add_moves, move_of
from openhands_sessions.adapters.stores.sqlite_schema import LIVE, SPAN, execute_patiently
from openhands_sessions.adapters.stores.stored_sizes import add_sizes
from openhands_sessions.core.errors import AlreadyExists, Conflict, Fenced, NotFound
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.ids import ConversationId, EventId
from openhands_sessions.ports.accounts import Charge
from openhands_sessions.ports.store import Receipt

_KNOWN_AT_MOST = 10_000
_ROWS_PER_STATEMENT = 128
_COLUMNS = 5

_INSERT_ROWS = {
    rows: f"INSERT OR ROLLBACK INTO events VALUES {', '.join(['(?,?,?,?,?)'] * rows)}"
    for rows in (1, 2, 4, 8, 16, 32, 64, _ROWS_PER_STATEMENT)
}
"""Many rows per statement, since the thread releases and takes the interpreter's lock once per statement. OR ROLLBACK
spares SQLite the copies of pages that undoing a single statement needs; ours fail with their transaction."""


@dataclass(slots=True)
class Append:
    """One call of `EventLog.append`. `sizes` are the bytes of each text, `weight` is about their sum."""

    future: asyncio.Future[None]
    sid: ConversationId
    entries: Sequence[Stored]
    sizes: Sequence[int]
    expected: int
    term: int
    receipt: Receipt | None
    weight: int
    charge: Charge | None = None


@dataclass(slots=True)
class _Log:
    """What is cached of a conversation: its number, newest event id and term."""

    key: int
    head: int
    term: int


class AppendBuffer:
    """Used on the writer's thread only. Its cache is valid only while the write lock is held and if no other process
    has written since: `begin` checks both. So a term that another process has claimed fences every later append."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute("PRAGMA busy_timeout = 0")
        self._logs: dict[ConversationId, _Log] = {}
        self._forms: dict[tuple[str, int], tuple[int, int]] = {}
        """Number and checksum seed of each kind and schema."""
        self._waiting: list[int | str] = []
        self._added: defaultdict[int, int] = defaultdict(int)
        """Bytes that the transaction adds to conversations, by their numbers."""
        self._charges: list[tuple[ConversationId, Charge]] = []
        self._moves: list[tuple[int, EventId, EventId]] = []
        """With the numbers of their conversations."""
        self._data_version = -1

    def begin(self) -> None:
        """Take the write lock; waits while another process holds it, up to the busy limit."""
        execute_patiently(self._connection, "BEGIN IMMEDIATE")
        version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        if version != self._data_version or len(self._logs) > _KNOWN_AT_MOST:
            self._logs.clear()
            self._data_version = version

    def append(self, item: Append) -> None:
        """Raises NotFound, Fenced, Conflict or AlreadyExists before anything of this item is written."""
        log = self._log(item.sid)
        if item.term < log.term:
            raise Fenced(item.term, log.term)
        if item.expected != log.head:
            raise Conflict(item.expected, log.head)
        if item.receipt is not None:
            self._keep(log, item.receipt)
        if item.term > log.term:
            self._connection.execute("UPDATE conversations SET term = ? WHERE key = ?", (item.term, log.key))
            log.term = item.term
        row = log.key * SPAN + log.head
        for entry, size in zip(item.entries, item.sizes, strict=True):
            row += 1
            if entry.kind == MOVE and (move := move_of(entry)) is not None:
                self._moves.append((log.key, *move))
            form, seed = self._forms.get((entry.kind, entry.schema)) or self._form(entry.kind, entry.schema)
            self._waiting += (row, form, size, entry.text, event_checksum(seed, row, entry.text.encode()))
        log.head += len(item.entries)
        self._added[log.key] += sum(item.sizes)
        if item.charge is not None:
            self._charges.append((item.sid, item.charge))

    def flush(self) -> None:
        """Insert what is buffered, before a call that may read it."""
        rows, at = len(self._waiting) // _COLUMNS, 0
        while rows:
            some = min(1 << rows.bit_length() - 1, _ROWS_PER_STATEMENT)
            to = at + some * _COLUMNS
            self._connection.execute(_INSERT_ROWS[some], self._waiting[at:to])
            rows, at = rows - some, to
        self._waiting.clear()
        if self._charges:
            add_charges(self._connection, self._charges)
            self._charges.clear()
        if self._moves:
            add_moves(self._connection, self._moves)
            self._moves.clear()

    def write(self) -> None:
        """Insert what is buffered, and count its bytes; the transaction goes on."""
        self.flush()
        add_sizes(self._connection, self._added)
        self._added.clear()

    def commit(self) -> None:
        self.write()
        self._connection.execute("COMMIT")

    def roll_back(self) -> None:
        """Undo the transaction and drop the cache. Raises sqlite3.Error where the connection is lost."""
        self._waiting.clear()
        self._added.clear()
        self._charges.clear()
        self._moves.clear()
        self._logs.clear()
        self._forms.clear()
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def forget(self, sid: ConversationId) -> None:
        """Drop a conversation from the cache: something other than an append has changed it."""
        self._logs.pop(sid, None)

    def _log(self, sid: ConversationId) -> _Log:
        log = self._logs.get(sid)
        if log is None:
            row = self._connection.execute(
                "SELECT key, term FROM conversations WHERE id = ? AND gone = ?", (sid, LIVE)
            ).fetchone()
            if row is None:
                raise NotFound("conversation", sid)
            log = self._logs[sid] = _Log(key=row[0], head=newest(self._connection, row[0]), term=row[1])
        return log

    def _keep(self, log: _Log, receipt: Receipt) -> None:
        kept = (log.key, receipt.key, receipt.digest, receipt.event)
        stored = self._connection.execute(
            "INSERT OR IGNORE INTO receipts VALUES (?, ?, ?, ?, ?)", (*kept, receipt_checksum(*kept))
        )
        if stored.rowcount == 0:
            raise AlreadyExists(f"the key {receipt.key!r} was used before")

    def _form(self, kind: str, schema: int) -> tuple[int, int]:
        if len(self._forms) > _KNOWN_AT_MOST:
            self._forms.clear()
        self._connection.execute("INSERT OR IGNORE INTO forms (kind, schema) VALUES (?, ?)", (kind, schema))
        found: int = self._connection.execute(
            "SELECT id FROM forms WHERE kind = ? AND schema = ?", (kind, schema)
        ).fetchone()[0]
        self._forms[kind, schema] = found, kind_seed(kind, schema)
        return self._forms[kind, schema]


def newest(connection: sqlite3.Connection, key: int) -> int:
    """The newest event id of a conversation by its number, -1 where there is none."""
    row = connection.execute(
        "SELECT key FROM events WHERE key >= ? AND key < ? ORDER BY key DESC LIMIT 1", (key * SPAN, (key + 1) * SPAN)
    ).fetchone()
    return -1 if row is None else int(row[0]) - key * SPAN
