"""States in SQLite: for each, a log of its changes, and beside it the entries that the visible ones lead to."""

import asyncio
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import orjson

from openhands_sessions.adapters.stores.append_buffer import newest
from openhands_sessions.adapters.stores.checksums import state_checksum
from openhands_sessions.adapters.stores.sqlite_moves import history_moves
from openhands_sessions.adapters.stores.sqlite_reader import ReaderPool
from openhands_sessions.adapters.stores.sqlite_schema import LIVE, SPAN
from openhands_sessions.adapters.stores.sqlite_writer import StoreCall, Writer
from openhands_sessions.adapters.stores.stored_sizes import add_sizes
from openhands_sessions.core.errors import DamagedRecord, NotFound
from openhands_sessions.core.ids import UNNUMBERED, ConversationId, EventId
from openhands_sessions.core.lineage import ONE_CHAIN, Chain, Lineage, on_chain
from openhands_sessions.core.state import (
    KeyedState,
    StateChange,
    StateEntry,
    added_size,
    apply,
    check_same,
    dump_change,
    fold,
    load_change,
)
from openhands_sessions.ports.state import LARGEST_PAGE, NumberedChange, StateChanged, StateScope

_CALL_BYTES = 500
"""What a change weighs besides its text."""


class SqliteStates:
    """A StateStore over one database."""

    def __init__(self, writer: Writer, readers: ReaderPool) -> None:
        self._writer = writer
        self._readers = readers

    async def read(self, scope: StateScope, *, at: EventId | None = None) -> KeyedState:
        return await self._readers.call(partial(_at_one_moment, scope, at))

    async def change(self, scope: StateScope, change: StateChange) -> StateChanged:
        future: asyncio.Future[StateChanged] = asyncio.get_running_loop().create_future()
        text = dump_change(change)
        work = partial(_change, scope, change, text)
        self._writer.submit(StoreCall(future, None, work, len(text) + _CALL_BYTES))
        return await future

    async def changes(self, scope: StateScope, *, after: int = 0, limit: int) -> Sequence[NumberedChange]:
        return await self._readers.call(partial(_changes, scope, max(after, 0), max(limit, 0)))


@dataclass(slots=True)
class _State:
    """A state's row. `key` is 0 where it has none yet; `conversation` is the number of a session's, otherwise 0;
    `moved` is the newest move of its history that the entries know of."""

    conversation: int
    key: int = 0
    revision: int = 0
    size: int = 0
    moved: int = UNNUMBERED

    @property
    def values(self) -> tuple[int, ...]:
        return (self.key, self.conversation, self.revision, self.size, self.moved)


def _at_one_moment(scope: StateScope, at: EventId | None, connection: sqlite3.Connection) -> KeyedState:
    connection.execute("BEGIN")
    try:
        state = _state(scope, connection)
        if not state.key:
            return KeyedState()
        lineage = _lineage(state, connection)
        if at is None and _knows(state, lineage):
            return KeyedState(state.revision, _entries(scope, state.key, connection))
        end = newest(connection, state.conversation) if at is None else at
        return KeyedState(state.revision, _folded(scope, state, lineage.path(end), connection))
    finally:
        connection.execute("ROLLBACK")


def begin_state(sid: ConversationId, change: StateChange, connection: sqlite3.Connection) -> None:
    """Make the state of a new conversation, which counts on every chain."""
    _change(StateScope.session(sid), change, dump_change(change), connection, begins=True)


def _change(
    scope: StateScope, change: StateChange, text: str, connection: sqlite3.Connection, *, begins: bool = False
) -> StateChanged:
    state = _state(scope, connection)
    if state.key:
        known = _revision_of(state.key, change.id, connection)
        lineage = _lineage(state, connection)
        if not _knows(state, lineage):
            chain = lineage.path(newest(connection, state.conversation))
            _renew(state, lineage, _folded(scope, state, chain, connection), connection)
        if known is not None:
            [stored] = _stored_changes(scope, state.key, connection, after=known - 1, limit=1)
            check_same(stored.change, change)
            entries = _entries(scope, state.key, connection, change.keys)
            return StateChanged(known, {key: entries.get(key) for key in change.keys})
    before = _entries(scope, state.key, connection, change.keys)
    after = apply(change, before, state.revision + 1)
    state.size = added_size(before, after, state.size)
    state.revision += 1
    key = _made(scope, state, connection)
    at = newest(connection, state.conversation) if state.conversation and not begins else UNNUMBERED
    row = (key * SPAN + state.revision, change.id, at, text)
    connection.execute("INSERT INTO state_changes VALUES (?, ?, ?, ?, ?)", (*row, state_checksum(row)))
    _write(key, after, connection)
    _seal(state, connection)
    if state.conversation:
        add_sizes(connection, {state.conversation: len(text.encode())})
    return StateChanged(state.revision, after)


def check_state(scope: StateScope, connection: sqlite3.Connection) -> None:
    """Read all of one state. Raises DamagedRecord, NotFound for a session without a row."""
    state = _state(scope, connection)
    _entries(scope, state.key, connection)
    for _ in _stored_changes(scope, state.key, connection):
        pass


def _changes(scope: StateScope, after: int, limit: int, connection: sqlite3.Connection) -> Sequence[NumberedChange]:
    state = _state(scope, connection)
    return list(_stored_changes(scope, state.key, connection, after=after, limit=limit, most=LARGEST_PAGE))


def _state(scope: StateScope, connection: sqlite3.Connection) -> _State:
    """Raises NotFound for a session without a row, DamagedRecord."""
    conversation = 0
    if scope.kind == "session":
        row = connection.execute(
            "SELECT key FROM conversations WHERE id = ? AND gone = ?", (scope.name, LIVE)
        ).fetchone()
        if row is None:
            raise NotFound("conversation", scope.name)
        [conversation] = row
    found = connection.execute(
        "SELECT key, conversation, revision, bytes, moved, checksum FROM states WHERE kind = ? AND name = ?", scope
    ).fetchone()
    if found is None:
        moves = history_moves(conversation, connection)
        return _State(conversation, moved=moves[-1][0] if moves else UNNUMBERED)
    key, conversation, *figures, checksum = found
    state = _State(conversation, key, *figures)
    if checksum != state_checksum(state.values):
        raise _damage(scope)
    return state


def _lineage(state: _State, connection: sqlite3.Connection) -> Lineage:
    return Lineage(moves=history_moves(state.conversation, connection)) if state.conversation else ONE_CHAIN


def _knows(state: _State, lineage: Lineage) -> bool:
    """Whether the entries are those of the visible chain."""
    return state.moved == (lineage.moves[-1][0] if lineage.moves else UNNUMBERED)


def _folded(scope: StateScope, state: _State, chain: Chain, connection: sqlite3.Connection) -> Mapping[str, StateEntry]:
    """The entries that the visible changes lead to."""
    changes = _stored_changes(scope, state.key, connection)
    return fold(
        (each.revision, each.change) for each in changes if each.at == UNNUMBERED or on_chain(chain, each.at)
    ).entries


def _renew(state: _State, lineage: Lineage, entries: Mapping[str, StateEntry], connection: sqlite3.Connection) -> None:
    """The history has moved: these are the entries."""
    connection.execute("DELETE FROM state_entries WHERE state = ?", (state.key,))
    _write(state.key, entries, connection)
    state.size = sum(entry.size for entry in entries.values())
    state.moved = lineage.moves[-1][0]
    _seal(state, connection)


def _stored_changes(
    scope: StateScope,
    key: int,
    connection: sqlite3.Connection,
    *,
    after: int = 0,
    limit: int = -1,
    most: float = math.inf,
) -> Iterator[NumberedChange]:
    """At most `most` bytes of them, but one if there is any. Raises DamagedRecord."""
    rows = connection.execute(
        "SELECT key, id, at, text, checksum FROM state_changes WHERE key > ? AND key < ? ORDER BY key LIMIT ?",
        (key * SPAN + after, (key + 1) * SPAN, limit),
    )
    size, first = 0, True
    for *row, checksum in rows:
        if checksum != state_checksum(row):
            raise _damage(scope)
        place, _, at, text = row
        size += len(text.encode())
        if size > most and not first:
            return
        first = False
        yield NumberedChange(place - key * SPAN, EventId(at), load_change(text))


def _entries(
    scope: StateScope, key: int, connection: sqlite3.Connection, keys: Sequence[str] | None = None
) -> dict[str, StateEntry]:
    """All of them, or those of these keys. Raises DamagedRecord."""
    query = "SELECT state, key, revision, size, value, file, checksum FROM state_entries WHERE state = ?"
    values: tuple[int | str, ...] = (key,)
    if keys is not None:
        query, values = f"{query} AND key IN (SELECT value FROM json_each(?))", (key, orjson.dumps(keys).decode())
    found: dict[str, StateEntry] = {}
    for *row, checksum in connection.execute(query, values):
        if checksum != state_checksum(row):
            raise _damage(scope)
        _, name, revision, size, text, file = row
        found[name] = StateEntry(orjson.loads(text), revision, size, file)
    return found


def _write(state: int, entries: Mapping[str, StateEntry | None], connection: sqlite3.Connection) -> None:
    gone = [(state, key) for key, entry in entries.items() if entry is None]
    rows: Iterable[tuple[object, ...]] = [
        (state, key, entry.revision, entry.size, orjson.dumps(entry.value).decode(), entry.file)
        for key, entry in entries.items()
        if entry is not None
    ]
    if gone:
        connection.executemany("DELETE FROM state_entries WHERE state = ? AND key = ?", gone)
    connection.executemany(
        "INSERT OR REPLACE INTO state_entries VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(*row, state_checksum(row)) for row in rows],
    )


def _made(scope: StateScope, state: _State, connection: sqlite3.Connection) -> int:
    if not state.key:
        made = connection.execute(
            "INSERT INTO states (kind, name, conversation, revision, bytes, moved, checksum)"
            " VALUES (?, ?, ?, 0, 0, 0, 0)",
            (*scope, state.conversation),
        )
        state.key = made.lastrowid or 0
    return state.key


def _seal(state: _State, connection: sqlite3.Connection) -> None:
    connection.execute(
        "UPDATE states SET revision = ?, bytes = ?, moved = ?, checksum = ? WHERE key = ?",
        (state.revision, state.size, state.moved, state_checksum(state.values), state.key),
    )


def _revision_of(key: int, change: str, connection: sqlite3.Connection) -> int | None:
    row = connection.execute(
        "SELECT key FROM state_changes WHERE id = ? AND key > ? AND key < ?", (change, key * SPAN, (key + 1) * SPAN)
    ).fetchone()
    return None if row is None else int(row[0]) - key * SPAN


def _damage(scope: StateScope) -> DamagedRecord:
    return DamagedRecord.of(f"the state of this {scope.kind}", scope.name)
