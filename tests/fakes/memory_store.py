"""A SessionStore in memory. It passes the contract of stores."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from datetime import datetime

from openhands_sessions.adapters.stores.encoding import (
    changed,
    check_row,
    check_texts,
    json_text,
    settings_of,
    size_of,
    sizes_of,
)
from openhands_sessions.adapters.stores.leases import Holder, renewed
from openhands_sessions.core.errors import AlreadyExists, LimitReached, OwnedElsewhere
from openhands_sessions.core.ids import ConversationId, EventId, OwnerId
from openhands_sessions.core.permissions import Permission
from openhands_sessions.core.snapshots import kept
from openhands_sessions.ports.accounts import Accounts
from openhands_sessions.ports.conversations import ANY_CONVERSATION, ConversationFilter
from openhands_sessions.ports.sharing import Grant, Grantee, GrantStore
from openhands_sessions.ports.state import StateStore
from openhands_sessions.ports.store import (
    ConversationRow,
    ConversationStore,
    LogBeginning,
    ReadMarkStore,
    RowChanges,
    Snapshot,
    SnapshotStore,
    StoredLimits,
)
from openhands_sessions.ports.trajectories import UploadQueue
from tests.fakes.memory_data import MemoryConversation, MemoryData, OpenedData
from tests.fakes.memory_log import MemoryLog
from tests.fakes.memory_read_marks import MemoryReadMarks
from tests.fakes.memory_states import MemoryStates
from tests.fakes.memory_uploads import MemoryUploads


class MemoryConversations:
    """The rows in a dict; settings are copied on their way in and out."""

    def __init__(self, data: OpenedData) -> None:
        self._data = data

    async def create(
        self,
        row: ConversationRow,
        *,
        files: int = 0,
        limits: StoredLimits | None = None,
        begins: LogBeginning | None = None,
    ) -> None:
        check_row(row)
        if begins is not None:
            sizes_of(begins.entries, expected=-1, receipt=begins.receipt)
        self._data.find(row.id)
        if limits is not None:
            theirs = [kept for kept in self._data.data.conversations.values() if kept and kept.row.owner == row.owner]
            limits.check(len(theirs), sum(kept.size for kept in theirs))
        if row.id in self._data.data.conversations:
            raise AlreadyExists(f"the conversation id {row.id!r} is taken")
        made = self._data.data.conversations[row.id] = MemoryConversation(_copy(row), files=files)
        made.begin(begins)

    async def get(self, sid: ConversationId) -> ConversationRow | None:
        row = self._data.row(sid)
        return None if row is None else _copy(row)

    async def page(
        self,
        owner: OwnerId | None,
        *,
        limit: int,
        before: tuple[datetime, ConversationId] | None = None,
        matching: ConversationFilter = ANY_CONVERSATION,
        guest: OwnerId | None = None,
    ) -> Sequence[ConversationRow]:
        rows = [
            kept.row
            for kept in self._data.data.conversations.values()
            if kept
            and not kept.row_is_damaged
            and owner in (None, kept.row.owner)
            and (guest is None or Grantee("user", guest) in kept.shares)
            and (before is None or (kept.row.created_at, kept.row.id) < before)
            if _matches(kept.row, matching)
        ]
        newest = sorted(rows, key=lambda row: (row.created_at, row.id), reverse=True)
        return [_copy(row) for row in newest[: max(limit, 0)]]

    async def count(
        self, owner: OwnerId | None, matching: ConversationFilter = ANY_CONVERSATION, *, guest: OwnerId | None = None
    ) -> int:
        most = len(self._data.data.conversations)
        return len(await self.page(owner, limit=most, matching=matching, guest=guest))

    async def update(
        self, sid: ConversationId, changes: RowChanges, *, if_version: int | None = None
    ) -> ConversationRow:
        check_texts(changes)
        kept = self._data.get(sid)
        self._data.row(sid)
        kept.row = changed(kept.row, changes, if_version)
        return _copy(kept.row)

    async def delete(self, sid: ConversationId) -> bool:
        if self._data.find(sid) is None:
            return False
        self._data.data.conversations[sid] = None
        return True


class MemorySnapshots:
    """Snapshots in a dict, by their heads."""

    def __init__(self, data: OpenedData) -> None:
        self._data = data

    async def load(self, sid: ConversationId, at: EventId | None = None) -> Snapshot | None:
        found = self._data.find(sid)
        heads = [head for head in found.snapshots if at is None or head <= at] if found else []
        return found.snapshots[max(heads)] if found and heads else None

    async def save(self, sid: ConversationId, snapshot: Snapshot) -> None:
        size_of("text", snapshot.text)
        if found := self._data.find(sid):
            others = [each for each in found.snapshots.values() if each.version == snapshot.version]
            there = {each.head: each for each in (*others, snapshot)}
            found.snapshots = {head: there[head] for head in kept(there)}


class MemoryShares:
    """Shares in a dict, by their grantees."""

    def __init__(self, data: OpenedData) -> None:
        self._data = data

    async def of(self, sid: ConversationId) -> Sequence[Grant]:
        kept = self._data.find(sid)
        return sorted(kept.shares.values(), key=lambda share: (share.created_at, share.grantee)) if kept else []

    async def put(self, sid: ConversationId, share: Grant, *, most: int) -> None:
        size_of("user", share.grantee.name)
        shares = self._data.get(sid).shares
        for each in [*shares.values()]:
            if each.expires_at is not None and each.expires_at <= share.created_at:
                del shares[each.grantee]
        if len(shares.keys() - {share.grantee}) >= most:
            raise LimitReached("it is shared with too many", limit=most, count=len(shares))
        shares[share.grantee] = share

    async def remove(self, sid: ConversationId, grantee: Grantee) -> bool:
        kept = self._data.find(sid)
        return kept is not None and kept.shares.pop(grantee, None) is not None

    async def permissions(
        self, grantee: Grantee, sids: Sequence[ConversationId]
    ) -> Mapping[ConversationId, Permission]:
        found = {sid: self._data.find(sid) for sid in sids}
        return {sid: kept.shares[grantee].permission for sid, kept in found.items() if kept and grantee in kept.shares}


class MemoryStore:
    """A SessionStore; made by `open_memory`."""

    problem: str | None = None

    async def until_it_works(self) -> None:
        """It always does."""

    def __init__(self, data: OpenedData, holder: Holder) -> None:
        self._data = data
        self._holder = holder
        self.conversations: ConversationStore = MemoryConversations(data)
        self.snapshots: SnapshotStore = MemorySnapshots(data)
        self.accounts: Accounts = data.data.accounts
        self.read_marks: ReadMarkStore = MemoryReadMarks(data)
        self.shares: GrantStore = MemoryShares(data)
        self.states: StateStore = MemoryStates(data)
        self.uploads: UploadQueue = MemoryUploads(data)

    def log(self, sid: ConversationId) -> MemoryLog:
        return MemoryLog(sid, self._data)

    async def claim(self, sid: ConversationId) -> int:
        kept = self._data.get(sid)
        if (node := self._living(kept.holder)) is not None:
            raise OwnedElsewhere(node)
        await self.renew()
        kept.term += 1
        kept.holder = self._holder.boot
        kept.approval_due = None
        return kept.term

    async def release(
        self, sid: ConversationId, term: int, at: datetime, *, approval_due: datetime | None = None
    ) -> None:
        kept = self._data.find(sid)
        if kept is not None and kept.term == term:
            kept.holder, kept.approval_due = None, approval_due
            kept.row = replace(kept.row, updated_at=at)

    async def approvals_due(self, limit: int) -> Sequence[tuple[ConversationId, datetime]]:
        kept = self._data.data.conversations.items()
        due = sorted((one.approval_due, sid) for sid, one in kept if one is not None and one.approval_due is not None)
        return [(sid, moment) for moment, sid in due[:limit]]

    async def held(self) -> Sequence[ConversationId]:
        return [
            sid
            for sid, kept in self._data.data.conversations.items()
            if kept is not None and kept.holder is not None and self._living(kept.holder) is None
        ]

    async def renew(self) -> None:
        self._data.data.holders[self._holder.boot] = (self._holder.node, self._holder.expires_at)

    def leave(self) -> None:
        self._data.data.holders.pop(self._holder.boot, None)

    def _living(self, boot: str | None) -> str | None:
        """The node of another holder whose leases are valid."""
        if boot is None or boot == self._holder.boot or boot not in self._data.data.holders:
            return None
        node, expires_at = self._data.data.holders[boot]
        return node if expires_at > self._holder.clock() else None


@asynccontextmanager
async def open_memory(data: MemoryData | None = None, holder: Holder | None = None) -> AsyncIterator[MemoryStore]:
    """A store of its own, or one more over `data`. `holder` is who claims leases with it."""
    opened, holder = OpenedData(MemoryData() if data is None else data), holder or Holder()
    store = MemoryStore(opened, holder)
    shared = data is not None  # without other stores no lease needs renewing
    try:
        async with renewed(holder, store.renew) if shared else nullcontext():
            yield store
    finally:
        store.leave()
        opened.shut = True


def _matches(row: ConversationRow, wanted: ConversationFilter) -> bool:
    name = None if row.repository is None else row.repository.name
    if wanted.repository not in (None, name) or wanted.trigger not in (None, row.trigger):
        return False
    searched = "" if wanted.search is None else wanted.search.lower()
    texts = (row.title or "", row.initial_message or "")
    return row.id.startswith(wanted.id_prefix or "") and any(searched in text.lower() for text in texts)


def _copy(row: ConversationRow) -> ConversationRow:
    return replace(row, settings=settings_of(json_text(row.settings)))
