"""States: JSON values by key, of a session, of a user, or of an app, which many may write at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import ConversationId, EventId, OwnerId
from openhands_sessions.core.state import KeyedState, StateChange, StateEntry

STATE_TOOL = "state"
"""The name of the tool by which agents see states."""
ScopeKind = Literal["session", "user", "app"]
LARGEST_PAGE = 4 * 1024 * 1024
"""Bytes of the changes that are read at once, as JSON text."""


class StateScope(NamedTuple):
    """Whose state it is: `name` is the id of the conversation, the user or the app."""

    kind: ScopeKind
    name: str

    @classmethod
    def session(cls, sid: ConversationId) -> "StateScope":
        return cls("session", sid)

    @classmethod
    def user(cls, owner: OwnerId) -> "StateScope":
        return cls("user", owner)


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentStates:
    """What the agents of a conversation see by their tool: its state, that of its owner, and that of the app. `writes`:
    whether they also change that of the conversation."""

    conversation: ConversationId
    owner: OwnerId
    app: str
    writes: bool


@dataclass(frozen=True, slots=True)
class StateChanged:
    """What a change has done: the revision of the state with it, and the entries of its keys, None where there is none
    then."""

    revision: int
    entries: Mapping[str, StateEntry | None]


@dataclass(frozen=True, slots=True)
class NumberedChange:
    """A change as it is stored, the `revision` that it has led to, and the newest event `at` that the conversation had
    then; UNNUMBERED where it had none, or where the state is no session's."""

    revision: int
    at: EventId
    change: StateChange


class StateStore(Protocol):
    """A log of changes for each state, and the entries that they lead to. No lease is needed, and none is disturbed:
    any process may write at any time, also while another one runs a turn. Calls for the state of a session raise
    NotFound where the conversation has no row, and DamagedRecord where something is not as it was written.

    The state of a session is what the changes on the visible chain of its conversation lead to: those that were made
    when its newest event was one of the chain, see `core.lineage`. So it goes back with the history, and forth again.
    """

    async def read(self, scope: StateScope, *, at: EventId | None = None) -> KeyedState:
        """The state as one moment has left it; an empty one where nothing was set. That of a session also as it was
        when event `at` was the newest of its chain."""

    async def change(self, scope: StateScope, change: StateChange) -> StateChanged:
        """Apply a change that `core.state.checked` has let pass, by `core.state.apply`, to the state as it is; all or
        nothing, durable when it returns, in one order for all processes. A change whose id was stored before is not
        applied again: then the entries are those of now. Raises RevisionConflict, BadInput, TooLarge,
        StorageUnavailable. It costs what the change costs, however long the log is; the first one after the history
        has moved folds the log."""

    async def changes(self, scope: StateScope, *, after: int = 0, limit: int) -> Sequence[NumberedChange]:
        """The changes that follow the revision `after`, oldest first, at most `limit`, also those that are not visible.
        Fewer where they would have more than LARGEST_PAGE bytes as JSON text, but one if any follows: what is after
        the last of them is asked for with its revision."""


class States(Protocol):
    """The states that one caller may see: those of its conversations and of those that are shared with it, its own as a
    user, and those of apps. Raises NotFound and Forbidden as `Conversations` does."""

    async def read(self, scope: StateScope) -> KeyedState:
        """The state as it is. Values that are kept as files are left out, see `StateEntry`."""

    async def file(self, scope: StateScope, key: str) -> Json:
        """The value of a key that is kept as a file. Raises NotFound where there is none."""

    async def change(self, scope: StateScope, change: StateChange) -> StateChanged:
        """See `StateStore.change`; the change is checked, and values that are too large for an entry are kept as files.
        Raises UnstorableValue, TooLarge."""

    async def changes(self, scope: StateScope, *, after: int = 0, limit: int) -> Sequence[NumberedChange]:
        """See `StateStore.changes`."""
