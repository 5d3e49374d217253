"""Where conversations are kept: their logs, their rows, their snapshots."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypedDict

from openhands_sessions.core.errors import DamagedRecord, LimitReached
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import ConversationId, EventId, OwnerId
from openhands_sessions.core.repository import Repository
from openhands_sessions.core.state import StateChange
from openhands_sessions.ports.accounts import Accounts, Charge
from openhands_sessions.ports.conversations import ANY_CONVERSATION, ConversationFilter
from openhands_sessions.ports.sharing import GrantStore
from openhands_sessions.ports.state import StateStore
from openhands_sessions.ports.trajectories import UploadQueue

MEGABYTE = 1_000_000
NEVER_CLAIMED = 0
"""The term of a conversation that no server has claimed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """What a keyed command did: stored in the same transaction as its events, kept with the conversation.
    `digest` names the command's content, so that a key used again for something else is noticed."""

    key: str
    digest: str
    event: EventId


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportProgress:
    """How far a conversation of another installation is imported."""

    runs: Json = None
    """Which of their events became which of ours, as `Numbering.dump` gives it."""
    through: int = -1
    """Their newest event that was looked at."""
    head: int = -1
    """Our newest event that was made of theirs; what follows it is ours."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConversationRow:
    """What is known of a conversation besides its log. Times are aware, UTC."""

    id: ConversationId
    owner: OwnerId
    created_at: datetime
    updated_at: datetime
    version: int = 1
    """Rises by one with each `update`."""
    title: str | None = None
    trigger: str = "gui"
    initial_message: str | None = None
    images_key: str | None = None
    """Which file has the images of the initial message; see InitialInputStore."""
    replay_key: str | None = None
    """Which file has the recorded steps to replay."""
    repository: Repository | None = None
    """As lists show it."""
    checkout: bool = False
    """Whether the workspace begins with `repository`; an imported conversation only shows its name."""
    imported: ImportProgress | None = None
    """None for a conversation that began here."""
    forked_from: ConversationId | None = None
    sandbox: str | None = None
    """Which sandbox it runs in; None for one of its own."""
    archived: bool = False
    settings: dict[str, Json] = field(default_factory=dict)
    """The request's layer of the settings, by their wire names, without secrets."""
    began_with: dict[str, Json] | None = None
    """The settings that hold until the user stops the conversation; None while they are still to be taken."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LogBeginning:
    """What a new conversation begins with: entries numbered from 0, snapshots of their fold, what a command with a
    key did, if one has made it, and the change that makes its `state`, which no move takes back."""

    entries: Sequence[Stored]
    snapshots: Sequence["Snapshot"] = ()
    receipt: Receipt | None = None
    state: StateChange | None = None


class RowChanges(TypedDict, total=False):
    """Fields of a ConversationRow with their new values; a field that is left out stays as it is."""

    owner: OwnerId
    updated_at: datetime
    title: str | None
    imported: ImportProgress | None
    sandbox: str | None
    archived: bool
    began_with: dict[str, Json] | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The folded view of a log up to and with event `head`; `version` is that of the text's form. May be deleted at
    any time."""

    head: EventId
    version: int
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreOptions:
    """What an installed kind of store is opened with: the table `[store]` of the configuration, and the data folder.
    `lease_ttl` is in seconds; a `node` of None is the host's name."""

    data_dir: Path
    url: str | None
    path: Path | None
    node: str | None
    lease_ttl: float


@dataclass(frozen=True, slots=True)
class StoredLimits:
    """What the conversations of one user may take: how many, and how many bytes of events and files. A new one is
    refused where either is reached; those that are there go on."""

    conversations: int
    bytes: int

    def check(self, count: int, size: int) -> None:
        """Raises LimitReached where `count` conversations of `size` bytes leave no room for one more."""
        if count >= self.conversations:
            raise LimitReached(
                f"you have {count} conversations, as many as one user may have: delete one",
                limit=self.conversations,
                count=count,
            )
        if size >= self.bytes:
            raise LimitReached(
                f"your conversations take {size / MEGABYTE:,.1f} MB, and those of one user may take"
                f" {self.bytes / MEGABYTE:,.1f} MB: delete one",
                limit=self.bytes,
                count=size,
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredCounts:
    """How much a copy of a database holds."""

    conversations: int
    events: int


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreReport:
    """What a look through everything that is stored has found."""

    events: int = 0
    checked: int = 0
    """How many of them have a checksum; those of earlier versions get theirs while the server runs."""
    damage: Sequence[DamagedRecord] = ()
    problem: str | None = None
    """What keeps the database from being read at all."""
    kept_logs: Sequence[str] = ()
    """Files with commits that were lost."""

    @property
    def sound(self) -> bool:
        return not self.damage and self.problem is None


class EventLog(Protocol):
    """The log of one conversation. Ids are dense from 0."""

    async def head(self) -> EventId:
        """The newest id, -1 for an empty log."""

    def append(
        self,
        entries: Sequence[Stored],
        *,
        expected: int,
        term: int,
        receipt: Receipt | None = None,
        charge: Charge | None = None,
    ) -> asyncio.Future[None]:
        """All or nothing; durable when the future is done. Called on the event loop; calls take effect in order,
        also across conversations sharing a writer; a caller that stops waiting does not take a write back.

        `entries` are numbered from `expected + 1`; `charge` is added to its user's account with them. The future raises
        Conflict where the head is not `expected`, Fenced where a higher `term` was claimed or has written,
        AlreadyExists where the receipt's key was stored before, NotFound where the conversation has no row, BadInput
        for text with lone surrogates, StorageUnavailable where the disk refuses; one failure never fails another call
        of its commit group. May be called again before the last one is done (pipelining).
        """

    def read(
        self, after: int = -1, *, before: int | None = None, reverse: bool = False, limit: int | None = None
    ) -> AsyncIterator[Sequence[Stored]]:
        """Entries with `after < id < before`, in batches of bounded size, in constant memory; `reverse` starts at
        the newest; `limit` counts entries. Sees what was durable when each batch was read. Never reads what was
        not asked for: the last 50 of 100,000 cost 50. Where the next entry is not as it was written, or missing, raises
        DamagedRecord with the ids of the damaged stretch, after all that comes before it: never gives altered content.
        A reading that begins behind the stretch goes on."""

    async def receipt(self, key: str) -> Receipt | None:
        """What a command with this key did, if it was stored. Raises DamagedRecord where that is not as it was
        written."""


class SnapshotStore(Protocol):
    """Snapshots, so that a log need not be folded from 0."""

    async def load(self, sid: ConversationId, at: EventId | None = None) -> Snapshot | None:
        """The newest one, or the newest whose head is not above `at`. One that is not as it was written is passed
        over."""

    async def save(self, sid: ConversationId, snapshot: Snapshot) -> None:
        """Add one, and delete those of other versions and those that `core.snapshots.kept` leaves out. Without effect
        where the conversation has no row."""


class ReadMarkStore(Protocol):
    """How far each user has read each conversation. Every call is durable when it returns."""

    async def marks(self, user: OwnerId, sids: Sequence[ConversationId]) -> Mapping[ConversationId, EventId]:
        """The user's marks in these conversations, those that there are. One that is not as it was written is left
        out. One call costs what the ids cost, however many conversations the user has."""

    async def raise_to(self, user: OwnerId, sid: ConversationId, event: EventId) -> EventId:
        """Raise the user's mark to `event`; the mark as it is then, which is the old one where that is higher. Raises
        NotFound where the conversation has no row."""


class ConversationStore(Protocol):
    """The rows. Every call is durable when it returns."""

    async def create(
        self,
        row: ConversationRow,
        *,
        files: int = 0,
        limits: StoredLimits | None = None,
        begins: LogBeginning | None = None,
    ) -> None:
        """`files` are the bytes that are stored beside the database for it. The row and what its log `begins` with are
        stored as one. Raises AlreadyExists, also where a deleted
        conversation had the id: ids are never used twice; BadInput for text with lone surrogates; LimitReached, exact
        also for calls at the same time."""

    async def get(self, sid: ConversationId) -> ConversationRow | None:
        """The row, None where it is unknown or deleted. Raises DamagedRecord where it is not as it was written; so does
        `update`."""

    async def page(
        self,
        owner: OwnerId | None,
        *,
        limit: int,
        before: tuple[datetime, ConversationId] | None = None,
        matching: ConversationFilter = ANY_CONVERSATION,
        guest: OwnerId | None = None,
    ) -> Sequence[ConversationRow]:
        """Newest `created_at` first, then highest id; only those that come after `before` in that order. An owner of
        None means all owners; with a `guest`, only those that are shared with that user. A row that is not as it was
        written is left out. A page of one owner walks along an index, whatever it must match: 50 of 10,000 cost 50."""

    async def count(
        self, owner: OwnerId | None, matching: ConversationFilter = ANY_CONVERSATION, *, guest: OwnerId | None = None
    ) -> int:
        """How many rows the pages have."""

    async def update(
        self, sid: ConversationId, changes: RowChanges, *, if_version: int | None = None
    ) -> ConversationRow:
        """Change the named fields, in one transaction; the row as it is then. Raises NotFound, BadInput for text with
        lone surrogates, and Conflict, changing nothing, where the row has another version than `if_version`."""

    async def delete(self, sid: ConversationId) -> bool:
        """Delete row, log, receipts, snapshots, read marks, shares, state and pending upload together; False where
        there was no row. Nothing of them is found from then on; a reading under way ends."""


class SessionStore(Protocol):
    """One database. Its parts share it. It is opened as a block, whose end waits for the writes under way."""

    conversations: ConversationStore
    snapshots: SnapshotStore
    read_marks: ReadMarkStore
    accounts: Accounts
    shares: GrantStore
    states: StateStore
    uploads: UploadQueue

    @property
    def problem(self) -> str | None:
        """Why nothing can be stored now, for users: the last write failed, or the database is damaged; then calls raise
        StorageUnavailable. None while it works, also where a single conversation is damaged. Each change is one line in
        the log, and so is each damaged conversation."""

    async def until_it_works(self) -> None:
        """Wait until there is no problem; for ever, where the database is damaged."""

    def log(self, sid: ConversationId) -> EventLog:
        """The log of a conversation; cheap, no I/O. Writing one whose row does not exist raises NotFound."""

    async def claim(self, sid: ConversationId) -> int:
        """Take the conversation's lease: a term higher than every earlier one, from now on the only one that may
        write. The store renews all leases that it holds, until it is closed or its process ends. A store that
        renews too late, and finds its lease claimed by another, gets Fenced.

        Raises NotFound, and OwnedElsewhere where another opened store holds the lease: one whose process lives, and
        which has renewed its leases within their time to live. One's own lease is claimed anew."""

    async def release(
        self, sid: ConversationId, term: int, at: datetime, *, approval_due: datetime | None = None
    ) -> None:
        """Give the lease back, with nothing left to do: the conversation was last worked on `at`, and what awaits an
        answer in it is to be rejected when `approval_due` comes, UTC; the next claim forgets that time. Without effect
        where a newer term was claimed, or where the conversation was deleted."""

    async def approvals_due(self, limit: int) -> Sequence[tuple[ConversationId, datetime]]:
        """Released conversations with a time of `approval_due`, and that time, the earliest first; at most so many. It
        walks along an index."""

    async def held(self) -> Sequence[ConversationId]:
        """Conversations that were claimed and not released, but for those that others hold who could refuse a claim:
        after a crash, those to look after."""
