"""The default kind: one SQLite file, one writing thread, at most three reading ones, for all conversations."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path

from openhands_sessions.adapters.stores.append_buffer import Append, newest
from openhands_sessions.adapters.stores.checksum_pass import completing
from openhands_sessions.adapters.stores.checksums import receipt_checksum
from openhands_sessions.adapters.stores.condition import PROBE_SECONDS, StoreCondition, checked, probing
from openhands_sessions.adapters.stores.encoding import size_of, sizes_of
from openhands_sessions.adapters.stores.leases import Holder, Leases, clear_probe, due, release, renewed, write_probe
from openhands_sessions.adapters.stores.log_reader import KEY, EventKinds, LogReader
from openhands_sessions.adapters.stores.sqlite_accounts import SqliteAccounts
from openhands_sessions.adapters.stores.sqlite_conversations import SqliteConversations
from openhands_sessions.adapters.stores.sqlite_read_marks import SqliteReadMarks
from openhands_sessions.adapters.stores.sqlite_reader import ReaderPool
from openhands_sessions.adapters.stores.sqlite_schema import LIVE
from openhands_sessions.adapters.stores.sqlite_shares import SqliteShares
from openhands_sessions.adapters.stores.sqlite_snapshots import SqliteSnapshots
from openhands_sessions.adapters.stores.sqlite_states import SqliteStates
from openhands_sessions.adapters.stores.sqlite_uploads import SqliteUploads
from openhands_sessions.adapters.stores.sqlite_writer import Writer
from openhands_sessions.core.errors import BadInput, DamagedRecord, SessionsError, StorageError
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.ids import ConversationId, EventId
from openhands_sessions.ports.accounts import Accounts, Charge
from openhands_sessions.ports.sharing import GrantStore
from openhands_sessions.ports.state import StateStore
from openhands_sessions.ports.store import ConversationStore, ReadMarkStore, Receipt, SnapshotStore
from openhands_sessions.ports.trajectories import UploadQueue

_APPEND_BYTES = 500
"""What an append weighs besides its texts."""


class SqliteLog:
    """One conversation's log. Cheap to make: the writer has the cache."""

    def __init__(self, sid: ConversationId, writer: Writer, readers: ReaderPool, kinds: EventKinds) -> None:
        self._sid = sid
        self._writer = writer
        self._readers = readers
        self._kinds = kinds

    async def head(self) -> EventId:
        return await self._readers.call(self._head)

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
            sizes = sizes_of(entries, expected=expected, receipt=receipt)
        except SessionsError as error:
            future.set_exception(error)
        else:
            weight = sum(sizes) + _APPEND_BYTES
            self._writer.submit(Append(future, self._sid, entries, sizes, expected, term, receipt, weight, charge))
        return future

    async def read(
        self, after: int = -1, *, before: int | None = None, reverse: bool = False, limit: int | None = None
    ) -> AsyncIterator[Sequence[Stored]]:
        reader = LogReader(self._sid, self._kinds, after=after, before=before, reverse=reverse, limit=limit)
        while not reader.done:
            if batch := await self._readers.call(reader.next):
                yield batch

    async def receipt(self, key: str) -> Receipt | None:
        try:
            size_of("key", key)
        except BadInput:
            return None
        return await self._readers.call(partial(self._receipt, key))

    def _head(self, connection: sqlite3.Connection) -> EventId:
        row = connection.execute(
            "SELECT key FROM conversations WHERE id = ? AND gone = ?", (self._sid, LIVE)
        ).fetchone()
        return EventId(-1 if row is None else newest(connection, row[0]))

    def _receipt(self, key: str, connection: sqlite3.Connection) -> Receipt | None:
        row = connection.execute(
            f"SELECT digest, event, checksum, conversation FROM receipts WHERE conversation = {KEY} AND key = :key",
            {"sid": self._sid, "key": key},
        ).fetchone()
        if row is None:
            return None
        digest, event, checksum, conversation = row
        if checksum not in (None, receipt_checksum(conversation, key, digest, event)):
            raise DamagedRecord.of("what a command of this conversation did", self._sid)
        return Receipt(key=key, digest=digest, event=EventId(event))


class SqliteStore:
    """A SessionStore; made by `open_sqlite`."""

    def __init__(self, writer: Writer, readers: ReaderPool, leases: Leases, condition: StoreCondition) -> None:
        self._condition = condition
        self._writer = writer
        self._readers = readers
        self._leases = leases
        self._kinds = EventKinds()
        self.conversations: ConversationStore = SqliteConversations(writer, readers)
        self.snapshots: SnapshotStore = SqliteSnapshots(writer, readers)
        self.accounts: Accounts = SqliteAccounts(writer, readers)
        self.read_marks: ReadMarkStore = SqliteReadMarks(writer, readers)
        self.shares: GrantStore = SqliteShares(writer, readers)
        self.states: StateStore = SqliteStates(writer, readers)
        self.uploads: UploadQueue = SqliteUploads(writer, readers)

    @property
    def problem(self) -> str | None:
        return self._condition.problem

    async def until_it_works(self) -> None:
        await self._condition.works.wait()

    def log(self, sid: ConversationId) -> SqliteLog:
        return SqliteLog(sid, self._writer, self._readers, self._kinds)

    async def claim(self, sid: ConversationId) -> int:
        return await self._writer.call(sid, partial(self._leases.claim, sid))

    async def release(
        self, sid: ConversationId, term: int, at: datetime, *, approval_due: datetime | None = None
    ) -> None:
        await self._writer.call(sid, partial(release, sid, term, at, approval_due))

    async def approvals_due(self, limit: int) -> Sequence[tuple[ConversationId, datetime]]:
        return await self._readers.call(partial(due, limit))

    async def held(self) -> Sequence[ConversationId]:
        return await self._readers.call(self._leases.held)

    async def renew(self) -> None:
        """Renew every lease, if there may be one."""
        if self._leases.active:
            await self._writer.call(None, self._leases.renew)

    async def probe(self) -> None:
        """Write as much as a small append does, and remove it. Raises StorageUnavailable."""
        await self._writer.call(None, write_probe)
        await self._writer.call(None, clear_probe)

    async def leave(self) -> None:
        """Give up every lease: other stores need not wait until they are void."""
        if self._leases.active:
            await self._writer.call(None, self._leases.leave)


@asynccontextmanager
async def open_sqlite(
    path: Path, holder: Holder | None = None, *, begun: bool = False, probe_every: float = PROBE_SECONDS
) -> AsyncIterator[SqliteStore]:
    """Open the database, and make it where there is none: its folder for its owner only, its file too. `holder` is who
    claims leases with it. `begun`: there are workspaces of conversations, so a database without any is refused.
    `probe_every` is the time in seconds between two probes of a disk that refuses writes.

    Other processes may have the same file open. Raises StorageError for a database that is not ours, newer than this
    version, or has lost what it held, StorageUnavailable where the file cannot be used. A database that is damaged
    inside is opened, and says so in `problem`.
    """
    condition = StoreCondition()
    writer = Writer(path, condition, begun=begun)
    readers = ReaderPool(path, condition)
    holder = holder or Holder()
    leases = Leases(path, holder)
    store = SqliteStore(writer, readers, leases, condition)
    try:
        await writer.ready()
        async with (
            checked(path, condition),
            renewed(holder, store.renew),
            probing(condition, store.probe, probe_every),
            completing(writer),
        ):
            yield store
        with suppress(StorageError):  # the lock that is given back says the same
            await store.leave()
    finally:
        try:
            await readers.close()
        finally:
            await writer.close()
            leases.close()
