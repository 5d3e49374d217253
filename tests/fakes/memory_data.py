"""What a store in memory holds, and how one opened store sees it."""

from dataclasses import dataclass, field
from datetime import datetime

from openhands_sessions.core.errors import DamagedRecord, NotFound, StorageUnavailable
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.ids import UNNUMBERED, ConversationId, EventId, OwnerId
from openhands_sessions.ports.sharing import Grant, Grantee
from openhands_sessions.ports.state import NumberedChange, StateScope
from openhands_sessions.ports.store import ConversationRow, LogBeginning, Receipt, Snapshot
from openhands_sessions.ports.trajectories import PendingUpload
from tests.fakes.memory_accounts import MemoryAccounts


@dataclass(slots=True)
class MemoryConversation:
    """All that is stored of one conversation. `holder` is who has its lease; `damaged` are the events that cannot be
    read any more, and `row_is_damaged` says so of the row."""

    row: ConversationRow
    term: int = 0
    holder: str | None = None
    approval_due: datetime | None = None
    entries: list[Stored] = field(default_factory=list)
    receipts: dict[str, Receipt] = field(default_factory=dict)
    snapshots: dict[EventId, Snapshot] = field(default_factory=dict)
    read_marks: dict[OwnerId, EventId] = field(default_factory=dict)
    shares: dict[Grantee, Grant] = field(default_factory=dict)
    states: list[NumberedChange] = field(default_factory=list)
    upload: PendingUpload | None = None
    saved: EventId = UNNUMBERED
    damaged: set[EventId] = field(default_factory=set)
    row_is_damaged: bool = False
    files: int = 0

    def begin(self, begins: LogBeginning | None) -> None:
        if begins is not None:
            self.entries.extend(begins.entries)
            self.snapshots.update((one.head, one) for one in begins.snapshots)
            if begins.state is not None:
                self.states.append(NumberedChange(1, UNNUMBERED, begins.state))
            self.receipts.update({} if begins.receipt is None else {begins.receipt.key: begins.receipt})

    @property
    def size(self) -> int:
        texts = (self.row.initial_message or "", *(entry.text for entry in self.entries))
        return self.files + sum(len(text.encode(errors="replace")) for text in texts)


@dataclass(slots=True)
class MemoryData:
    """What stores in memory have in common that are opened with the same of it."""

    conversations: dict[ConversationId, MemoryConversation | None] = field(default_factory=dict)
    """None for a deleted one: its id is never used again."""
    holders: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    """By boot id: node, and when its leases become void."""
    states: dict[StateScope, list[NumberedChange]] = field(default_factory=dict)
    """Of users and apps."""
    accounts: MemoryAccounts = field(default_factory=MemoryAccounts)

    def damage(self, sid: ConversationId, *events: int) -> None:
        """As a failing disk does: these events, or without any the row, its snapshots, read marks, state and shares."""
        kept = self.conversations[sid]
        assert kept is not None
        kept.damaged.update(map(EventId, events))
        if not events:
            kept.row_is_damaged = True
            kept.snapshots.clear()
            kept.read_marks.clear()
            kept.shares.clear()


class OpenedData:
    """The data as one opened store sees it."""

    def __init__(self, data: MemoryData) -> None:
        self.data = data
        self.shut = False

    def find(self, sid: ConversationId) -> MemoryConversation | None:
        if self.shut:
            raise StorageUnavailable("the store is closed")
        return self.data.conversations.get(sid)

    def row(self, sid: ConversationId) -> ConversationRow | None:
        """Raises DamagedRecord."""
        kept = self.find(sid)
        if kept is not None and kept.row_is_damaged:
            raise DamagedRecord.of("the row", sid)
        return kept.row if kept else None

    def get(self, sid: ConversationId) -> MemoryConversation:
        """Raises NotFound."""
        kept = self.find(sid)
        if kept is None:
            raise NotFound("conversation", sid)
        return kept
