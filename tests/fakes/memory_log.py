"""One conversation's log in memory: see `memory_store.py`."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import takewhile

from openhands_sessions.adapters.stores.encoding import BATCH_BYTES, BATCH_ENTRIES, sizes_of
from openhands_sessions.core.errors import AlreadyExists, Conflict, DamagedRecord, Fenced, SessionsError
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.ids import ConversationId, EventId
from openhands_sessions.ports.accounts import Charge
from openhands_sessions.ports.store import Receipt
from tests.fakes.memory_data import OpenedData


class MemoryLog:
    """One conversation's entries in a list."""

    def __init__(self, sid: ConversationId, data: OpenedData) -> None:
        self._sid = sid
        self._data = data

    async def head(self) -> EventId:
        return EventId(len(self._entries()) - 1)

    def append(
        self,
        entries: Sequence[Stored],
        *,
        expected: int,
        term: int,
        receipt: Receipt | None = None,
        charge: Charge | None = None,
    ) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            sizes_of(entries, expected=expected, receipt=receipt)
            self._append(entries, expected, term, receipt)
            if charge is not None:
                self._data.data.accounts.add(self._sid, charge)
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
        kept = self._data.find(self._sid)
        return kept.receipts.get(key) if kept else None

    def _entries(self) -> list[Stored]:
        kept = self._data.find(self._sid)
        return kept.entries if kept else []

    def _append(self, entries: Sequence[Stored], expected: int, term: int, receipt: Receipt | None) -> None:
        kept = self._data.get(self._sid)
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
        """The first of what is asked for, up to the bound of a batch, and up to a damaged one. Raises DamagedRecord."""
        entries, batch, weight = self._entries(), list[Stored](), 0
        ids = range(after + 1, len(entries) if before is None else min(before, len(entries)))
        ids = ids[::-1] if reverse else ids
        for id in ids[: BATCH_ENTRIES if limit is None else max(0, min(limit, BATCH_ENTRIES))]:
            weight += len(entries[id].text)
            if batch and (weight > BATCH_BYTES or self._damaged([id])):
                break
            if stretch := self._damaged(ids):
                raise DamagedRecord.of_events(self._sid, min(stretch), max(stretch))
            batch.append(entries[id])
        return batch

    def _damaged(self, ids: Sequence[int]) -> list[int]:
        """The damaged ones with which these ids begin."""
        kept = self._data.find(self._sid)
        return list(takewhile(kept.damaged.__contains__, ids)) if kept else []
