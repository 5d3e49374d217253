"""A store that forgets everything at its end: for tests, and for servers that are thrown away."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from openhands_sessions.adapters.stores.encoding import (
    BATCH_BYTES,
    BATCH_ENTRIES,
    changed,
    check_row,
    check_texts,
    json_text,
    settings_of,
    size_of,
    sizes_of,
)
from openhands_sessions.core.errors import (
    AlreadyExists,
    Conflict,
    Fenced,
    NotFound,
    SessionsError,
    StorageUnavailable,
)
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.ids import ConversationId, EventId, OwnerId
from openhands_sessions.ports.store import (
    ANY_ROW,
    ConversationRow,
    ConversationStore,
    Receipt,
    RowChanges,
    RowFilter,
    Snapshot,
    SnapshotStore,
)


@dataclass(slots=True)
class _Kept:
    """All there is of one conversation."""

    row: ConversationRow
    term: int = 0
    held: bool = False
    entries: list[Stored] = field(default_factory=list)
    receipts: dict[str, Receipt] = field(default_factory=dict)
    snapshot: Snapshot | None = None


class _Shelf:
    """What the parts of the store share. A deleted conversation leaves its id behind, with nothing under it."""

    def __init__(self) -> None:
        self.kept: dict[ConversationId, _Kept | None] = {}
        self.shut = False

    def find(self, sid: ConversationId) -> _Kept | None:
        if self.shut:
            raise StorageUnavailable("the store is closed")
        return self.kept.get(sid)

    def get(self, sid: ConversationId) -> _Kept:
        """Raises NotFound."""
        kept = self.find(sid)
        if kept is None:
            raise NotFound("conversation", sid)
        return kept


class MemoryLog:
    """One conversation's entries in a list."""

    def __init__(self, sid: ConversationId, shelf: _Shelf) -> None:
        self._sid = sid
        self._shelf = shelf

    async def head(self) -> EventId:
        return EventId(len(self._entries()) - 1)

    def append(
        self, entries: Sequence[Stored], *, expected: int, term: int, receipt: Receipt | None = None
    ) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            sizes_of(entries, expected=expected, receipt=receipt)
            self._append(entries, expected, term, receipt)
        except SessionsError as error:
            future.set_exception(error)
        else:
            future.set_result(None)
        return future

    async def read(
        self, after: int = -1, *, before: int | None = None, reverse: bool = False, limit: int | None = None
    ) -> AsyncIterator[Sequence[Stored]]:
        while batch := self._batch(max(after, -1), before, reverse, limit):
            yield batch
            after, before = (after, batch[-1].id) if reverse else (batch[-1].id, before)
            limit = None if limit is None else limit - len(batch)

    async def receipt(self, key: str) -> Receipt | None:
        kept = self._shelf.find(self._sid)
        return kept.receipts.get(key) if kept else None

    def _entries(self) -> list[Stored]:
        kept = self._shelf.find(self._sid)
        return kept.entries if kept else []

    def _append(self, entries: Sequence[Stored], expected: int, term: int, receipt: Receipt | None) -> None:
        kept = self._shelf.get(self._sid)
        if term < kept.term:
            raise Fenced(term, kept.term)
        if expected != len(kept.entries) - 1:
            raise Conflict(expected, len(kept.entries) - 1)
        if receipt is not None and receipt.key in kept.receipts:
            raise AlreadyExists(f"the key {receipt.key!r} was used before")
        kept.term = term
        kept.entries.extend(entries)
        if receipt is not None:
            kept.receipts[receipt.key] = receipt

    def _batch(self, after: int, before: int | None, reverse: bool, limit: int | None) -> list[Stored]:
        """The first of what is asked for, up to the bound of a batch."""
        entries, batch, weight = self._entries(), list[Stored](), 0
        ids = range(after + 1, len(entries) if before is None else min(before, len(entries)))
        ids = ids[::-1] if reverse else ids
        for id in ids[: BATCH_ENTRIES if limit is None else max(0, min(limit, BATCH_ENTRIES))]:
            weight += len(entries[id].text)
            if batch and weight > BATCH_BYTES:
                break
            batch.append(entries[id])
        return batch


class MemoryConversations:
    """The rows in a dict; settings are copied on their way in and out."""

    def __init__(self, shelf: _Shelf) -> None:
        self._shelf = shelf

    async def create(self, row: ConversationRow) -> None:
        check_row(row)
        self._shelf.find(row.id)
        if row.id in self._shelf.kept:
            raise AlreadyExists(f"the conversation id {row.id!r} is taken")
        self._shelf.kept[row.id] = _Kept(_copy(row))

    async def get(self, sid: ConversationId) -> ConversationRow | None:
        kept = self._shelf.find(sid)
        return _copy(kept.row) if kept else None

    async def page(
        self,
        owner: OwnerId | None,
        *,
        limit: int,
        before: tuple[datetime, ConversationId] | None = None,
        matching: RowFilter = ANY_ROW,
    ) -> Sequence[ConversationRow]:
        rows = [
            kept.row
            for kept in self._shelf.kept.values()
            if kept and owner in (None, kept.row.owner) and (before is None or _place(kept.row) < before)
            if _matches(kept.row, matching)
        ]
        return [_copy(row) for row in sorted(rows, key=_place, reverse=True)[: max(limit, 0)]]

    async def update(
        self, sid: ConversationId, changes: RowChanges, *, if_version: int | None = None
    ) -> ConversationRow:
        check_texts(changes)
        kept = self._shelf.get(sid)
        if if_version not in (None, kept.row.version):
            raise Conflict(if_version or 0, kept.row.version, "the conversation's version")
        kept.row = changed(kept.row, changes)
        return _copy(kept.row)

    async def delete(self, sid: ConversationId) -> bool:
        if self._shelf.find(sid) is None:
            return False
        self._shelf.kept[sid] = None
        return True


class MemorySnapshots:
    """The newest snapshot of each conversation."""

    def __init__(self, shelf: _Shelf) -> None:
        self._shelf = shelf

    async def load(self, sid: ConversationId) -> Snapshot | None:
        kept = self._shelf.find(sid)
        return kept.snapshot if kept else None

    async def save(self, sid: ConversationId, snapshot: Snapshot) -> None:
        size_of("text", snapshot.text)
        if kept := self._shelf.find(sid):
            kept.snapshot = snapshot


class MemoryStore:
    """A SessionStore; made by `open_memory`."""

    def __init__(self, shelf: _Shelf) -> None:
        self._shelf = shelf
        self.conversations: ConversationStore = MemoryConversations(shelf)
        self.snapshots: SnapshotStore = MemorySnapshots(shelf)

    def log(self, sid: ConversationId) -> MemoryLog:
        return MemoryLog(sid, self._shelf)

    async def next_term(self, sid: ConversationId) -> int:
        kept = self._shelf.get(sid)
        kept.term += 1
        kept.held = True
        return kept.term

    async def release(self, sid: ConversationId, term: int, at: datetime) -> None:
        kept = self._shelf.find(sid)
        if kept is not None and kept.term == term:
            kept.held = False
            kept.row = replace(kept.row, updated_at=at)

    async def held(self) -> Sequence[ConversationId]:
        return [sid for sid, kept in self._shelf.kept.items() if kept is not None and kept.held]


@asynccontextmanager
async def open_memory() -> AsyncIterator[MemoryStore]:
    shelf = _Shelf()
    try:
        yield MemoryStore(shelf)
    finally:
        shelf.shut = True


def _place(row: ConversationRow) -> tuple[datetime, ConversationId]:
    return row.created_at, row.id


def _matches(row: ConversationRow, wanted: RowFilter) -> bool:
    name = None if row.repository is None else row.repository.name
    return wanted.repository in (None, name) and wanted.trigger in (None, row.trigger)


def _copy(row: ConversationRow) -> ConversationRow:
    return replace(row, settings=settings_of(json_text(row.settings)))
