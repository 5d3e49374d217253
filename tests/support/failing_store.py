"""A SessionStore whose writes are boundaries."""

from asyncio import Future
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import date, datetime

from openhands_sessions.config.config import Config
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.ids import ConversationId, EventId, OwnerId
from openhands_sessions.core.quotas import Quota, Share
from openhands_sessions.ports.accounts import AccountEntry, Accounts, Charge, ReservedShare
from openhands_sessions.ports.conversations import ANY_CONVERSATION, ConversationFilter
from openhands_sessions.ports.store import (
    ConversationRow,
    ConversationStore,
    EventLog,
    LogBeginning,
    Receipt,
    RowChanges,
    SessionStore,
    Snapshot,
    SnapshotStore,
    StoredLimits,
)
from tests.support.boundaries import AFTER, Boundaries

OpenedStore = AbstractAsyncContextManager[SessionStore]


class FailingLog:
    """An EventLog."""

    def __init__(self, log: EventLog, boundaries: Boundaries) -> None:
        self._log = log
        self._boundaries = boundaries

    async def head(self) -> EventId:
        return await self._log.head()

    def append(
        self,
        entries: Sequence[Stored],
        *,
        expected: int,
        term: int,
        receipt: Receipt | None = None,
        charge: Charge | None = None,
    ) -> "Future[None]":
        boundary = self._boundaries.begin("append")
        writing = self._log.append(entries, expected=expected, term=term, receipt=receipt, charge=charge)
        # The first callback: it is called before anybody else's is.
        writing.add_done_callback(lambda done: boundary.reach(AFTER))
        return writing

    def read(
        self, after: int = -1, *, before: int | None = None, reverse: bool = False, limit: int | None = None
    ) -> AsyncIterator[Sequence[Stored]]:
        return self._log.read(after, before=before, reverse=reverse, limit=limit)

    async def receipt(self, key: str) -> Receipt | None:
        return await self._log.receipt(key)


class FailingConversations:
    """A ConversationStore."""

    def __init__(self, conversations: ConversationStore, boundaries: Boundaries) -> None:
        self._conversations = conversations
        self._boundaries = boundaries

    async def create(
        self,
        row: ConversationRow,
        *,
        files: int = 0,
        limits: StoredLimits | None = None,
        begins: LogBeginning | None = None,
    ) -> None:
        boundary = self._boundaries.begin("create")
        await self._conversations.create(row, files=files, limits=limits, begins=begins)
        boundary.reach(AFTER)

    async def get(self, sid: ConversationId) -> ConversationRow | None:
        return await self._conversations.get(sid)

    async def page(
        self,
        owner: OwnerId | None,
        *,
        limit: int,
        before: tuple[datetime, ConversationId] | None = None,
        matching: ConversationFilter = ANY_CONVERSATION,
        guest: OwnerId | None = None,
    ) -> Sequence[ConversationRow]:
        return await self._conversations.page(owner, limit=limit, before=before, matching=matching, guest=guest)

    async def count(
        self, owner: OwnerId | None, matching: ConversationFilter = ANY_CONVERSATION, *, guest: OwnerId | None = None
    ) -> int:
        return await self._conversations.count(owner, matching, guest=guest)

    async def update(
        self, sid: ConversationId, changes: RowChanges, *, if_version: int | None = None
    ) -> ConversationRow:
        boundary = self._boundaries.begin("update")
        row = await self._conversations.update(sid, changes, if_version=if_version)
        boundary.reach(AFTER)
        return row

    async def delete(self, sid: ConversationId) -> bool:
        return await self._conversations.delete(sid)


class FailingSnapshots:
    """A SnapshotStore."""

    def __init__(self, snapshots: SnapshotStore, boundaries: Boundaries) -> None:
        self._snapshots = snapshots
        self._boundaries = boundaries

    async def load(self, sid: ConversationId, at: EventId | None = None) -> Snapshot | None:
        return await self._snapshots.load(sid, at)

    async def save(self, sid: ConversationId, snapshot: Snapshot) -> None:
        boundary = self._boundaries.begin("snapshot")
        await self._snapshots.save(sid, snapshot)
        boundary.reach(AFTER)


class FailingAccounts:
    """Accounts. What calls have used is written with their records, by `append`."""

    def __init__(self, accounts: Accounts, boundaries: Boundaries) -> None:
        self._accounts = accounts
        self._boundaries = boundaries

    async def reserve(self, wanted: ReservedShare, quotas: Sequence[Quota]) -> None:
        boundary = self._boundaries.begin("reserve")
        await self._accounts.reserve(wanted, quotas)
        boundary.reach(AFTER)

    def release(self, sid: ConversationId, number: int | None = None) -> "Future[None]":
        boundary = self._boundaries.begin("give_back")
        releasing = self._accounts.release(sid, number)
        releasing.add_done_callback(lambda done: boundary.reach(AFTER))
        return releasing

    async def taken(self, user: OwnerId, day: date, quotas: Sequence[Quota]) -> Sequence[Share]:
        return await self._accounts.taken(user, day, quotas)

    async def entries(self, user: OwnerId, first: date, last: date) -> Sequence[AccountEntry]:
        return await self._accounts.entries(user, first, last)


class FailingStore:
    """A SessionStore."""

    problem: str | None = None

    def __init__(self, store: SessionStore, boundaries: Boundaries) -> None:
        self.conversations: ConversationStore = FailingConversations(store.conversations, boundaries)
        self.snapshots: SnapshotStore = FailingSnapshots(store.snapshots, boundaries)
        self.read_marks = store.read_marks
        self.accounts: Accounts = FailingAccounts(store.accounts, boundaries)
        self.shares = store.shares
        self.states = store.states
        self.uploads = store.uploads
        self._store = store
        self._boundaries = boundaries

    async def until_it_works(self) -> None:
        await self._store.until_it_works()

    def log(self, sid: ConversationId) -> EventLog:
        return FailingLog(self._store.log(sid), self._boundaries)

    async def claim(self, sid: ConversationId) -> int:
        boundary = self._boundaries.begin("term")
        term = await self._store.claim(sid)
        boundary.reach(AFTER)
        return term

    async def approvals_due(self, limit: int) -> Sequence[tuple[ConversationId, datetime]]:
        return await self._store.approvals_due(limit)

    async def release(
        self, sid: ConversationId, term: int, at: datetime, *, approval_due: datetime | None = None
    ) -> None:
        boundary = self._boundaries.begin("release")
        await self._store.release(sid, term, at, approval_due=approval_due)
        boundary.reach(AFTER)

    async def held(self) -> Sequence[ConversationId]:
        return await self._store.held()


def failing_stores(
    kinds: Mapping[str, Callable[[Config], OpenedStore]], boundaries: Boundaries
) -> Mapping[str, Callable[[Config], OpenedStore]]:
    """The same kinds, wrapped."""

    def wrapped(open_store: Callable[[Config], OpenedStore]) -> Callable[[Config], OpenedStore]:
        @asynccontextmanager
        async def opened(config: Config) -> AsyncIterator[SessionStore]:
            async with open_store(config) as store:
                yield FailingStore(store, boundaries)

        return opened

    return {name: wrapped(open_store) for name, open_store in kinds.items()}
