"""Stores that go wrong: a log whose writes wait to be let through or fail, and a store that dies as a server does."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from openhands_sessions.core.errors import SessionsError, StorageUnavailable
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.ids import ConversationId, EventId
from openhands_sessions.ports.accounts import Charge
from openhands_sessions.ports.store import ConversationStore, EventLog, Receipt, SessionStore, Snapshot, SnapshotStore


@dataclass(frozen=True, slots=True)
class _Append:
    number: int
    entries: Sequence[Stored]
    expected: int
    term: int
    receipt: Receipt | None
    charge: Charge | None
    future: "asyncio.Future[None]"


class HeldLog:
    """Writes wait in line until `release`, while it `holds`. Of the appends that do, counted from 0, those in `refused`
    fail at once, as for text that cannot be stored, and those in `failing` when their turn comes, as on a full disk."""

    def __init__(
        self, log: EventLog, *, refused: Sequence[int] = (), failing: Sequence[int] = (), holds: bool = True
    ) -> None:
        self.holds = holds
        self._log = log
        self._refused = refused
        self._failing = failing
        self._line: deque[_Append] = deque()
        self._count = 0

    def __len__(self) -> int:
        return len(self._line)

    def append(
        self,
        entries: Sequence[Stored],
        *,
        expected: int,
        term: int,
        receipt: Receipt | None = None,
        charge: Charge | None = None,
    ) -> "asyncio.Future[None]":
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self.holds and not self._line:
            return self._log.append(entries, expected=expected, term=term, receipt=receipt, charge=charge)
        number, self._count = self._count, self._count + 1
        if number in self._refused:
            future.set_exception(StorageUnavailable("refused"))
        else:
            self._line.append(_Append(number, entries, expected, term, receipt, charge, future))
        return future

    async def release(self, count: int | None = None) -> None:
        """Let so many writes through, or all."""
        for _ in range(len(self._line) if count is None else min(count, len(self._line))):
            await self._write(self._line.popleft())
        await asyncio.sleep(0)

    async def _write(self, append: _Append) -> None:
        outcome: SessionsError | None = None
        if append.number in self._failing:
            outcome = StorageUnavailable("the disk is full")
        else:
            try:
                await self._log.append(
                    append.entries,
                    expected=append.expected,
                    term=append.term,
                    receipt=append.receipt,
                    charge=append.charge,
                )
            except SessionsError as error:
                outcome = error
        if append.future.done():
            return
        if outcome is None:
            append.future.set_result(None)
        else:
            append.future.set_exception(outcome)

    async def head(self) -> EventId:
        return await self._log.head()

    def read(
        self, after: int = -1, *, before: int | None = None, reverse: bool = False, limit: int | None = None
    ) -> AsyncIterator[Sequence[Stored]]:
        return self._log.read(after, before=before, reverse=reverse, limit=limit)

    async def receipt(self, key: str) -> Receipt | None:
        return await self._log.receipt(key)


class MortalStore:
    """The server's side of a store, which dies at an append, counted from 0: it is `stored` or not, nobody hears of it,
    and nothing works from then on. What was stored before is in `store`, for the next server."""

    problem: str | None = None

    async def until_it_works(self) -> None:
        """It does, until it is dead."""

    def __init__(self, store: SessionStore, *, dies_at: int, stored: bool) -> None:
        self._store = store
        self.conversations: ConversationStore = store.conversations
        self.snapshots: SnapshotStore = _MortalSnapshots(self, store.snapshots)
        self.read_marks = store.read_marks
        self.accounts = store.accounts
        self.shares = store.shares
        self.states = store.states
        self.uploads = store.uploads
        self.dies_at = dies_at
        self.stored = stored
        self.count = 0
        self.dead = asyncio.Event()
        self.logs: dict[ConversationId, EventLog] = {}
        """Logs to take in place of the store's."""
        self._waiting: list[asyncio.Future[None]] = []
        self._buried = False
        self.refusal: SessionsError = StorageUnavailable("the store is gone")

    def log(self, sid: ConversationId) -> "MortalLog":
        return MortalLog(self, self.logs[sid] if sid in self.logs else self._store.log(sid))

    def unheard(self) -> "asyncio.Future[None]":
        """What a server waits for that will not live to hear of it."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._buried:
            future.set_exception(self.refusal)
        else:
            self._waiting.append(future)
        return future

    def bury(self) -> None:
        """The server is gone: nothing of it waits any more."""
        self._buried = True
        for future in self._waiting:
            if not future.done():
                future.set_exception(self.refusal)

    def check(self) -> None:
        if self.dead.is_set():
            raise self.refusal

    async def claim(self, sid: ConversationId) -> int:
        self.check()
        return await self._store.claim(sid)

    async def release(
        self, sid: ConversationId, term: int, at: datetime, *, approval_due: datetime | None = None
    ) -> None:
        self.check()
        await self._store.release(sid, term, at, approval_due=approval_due)

    async def approvals_due(self, limit: int) -> Sequence[tuple[ConversationId, datetime]]:
        self.check()
        return await self._store.approvals_due(limit)

    async def held(self) -> Sequence[ConversationId]:
        self.check()
        return await self._store.held()


class MortalLog:
    """One of its logs."""

    def __init__(self, store: MortalStore, log: EventLog) -> None:
        self._store = store
        self._log = log

    def append(
        self,
        entries: Sequence[Stored],
        *,
        expected: int,
        term: int,
        receipt: Receipt | None = None,
        charge: Charge | None = None,
    ) -> "asyncio.Future[None]":
        store = self._store
        if store.dead.is_set():
            return store.unheard()
        dies = store.count == store.dies_at
        store.count += 1
        if dies:
            store.dead.set()
        if dies and not store.stored:
            return store.unheard()
        written = self._log.append(entries, expected=expected, term=term, receipt=receipt, charge=charge)
        return store.unheard() if dies else written

    async def head(self) -> EventId:
        self._store.check()
        return await self._log.head()

    def read(
        self, after: int = -1, *, before: int | None = None, reverse: bool = False, limit: int | None = None
    ) -> AsyncIterator[Sequence[Stored]]:
        self._store.check()
        return self._log.read(after, before=before, reverse=reverse, limit=limit)

    async def receipt(self, key: str) -> Receipt | None:
        self._store.check()
        return await self._log.receipt(key)


class _MortalSnapshots:
    def __init__(self, store: MortalStore, snapshots: SnapshotStore) -> None:
        self._store = store
        self._snapshots = snapshots

    async def load(self, sid: ConversationId, at: EventId | None = None) -> Snapshot | None:
        self._store.check()
        return await self._snapshots.load(sid, at)

    async def save(self, sid: ConversationId, snapshot: Snapshot) -> None:
        self._store.check()
        await self._snapshots.save(sid, snapshot)
