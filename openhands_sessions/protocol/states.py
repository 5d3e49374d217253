"""The states of sessions, users and apps over REST, in both directions."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import EventId
from openhands_sessions.core.state import KeyedState, StateChange, StateEntry, StateOp, StateOperation, dump_operation
from openhands_sessions.core.state_values import LONGEST_KEY
from openhands_sessions.ports.state import NumberedChange, StateChanged
from openhands_sessions.protocol.payloads import Message, Payload, Reply, Timestamp

StateKey = Annotated[str, Field(min_length=1, max_length=LONGEST_KEY)]


class OperationIn(Payload):
    """What to do with one key: `set`, `delete`, `incr` by a number, `append` an item to a list, or `compare_and_set`
    where its value equals `expected`."""

    op: StateOp
    key: StateKey
    value: Json = None
    expected: Json = None

    def operation(self) -> StateOperation:
        return StateOperation(self.op, self.key, self.value, self.expected)


class StateChangeIn(Payload):
    """Operations that take effect together, or not at all. The same `id` takes effect once. `bases` are revisions of
    keys as they were read, 0 for a key that was not there: where one has another, nothing is changed."""

    operations: list[OperationIn] = Field(min_length=1, max_length=1_000)
    bases: dict[StateKey, int] = {}
    id: str | None = Field(None, min_length=1, max_length=200)


class StateEntryOut(Reply):
    """The value of a key, the revision that has set it, and its bytes. A value that is kept as a file is null here, and
    `file` names it: ask for its `key` alone."""

    value: Json
    revision: int
    size: int
    file: str | None

    @classmethod
    def of(cls, entry: StateEntry) -> "StateEntryOut":
        return cls(value=entry.value, revision=entry.revision, size=entry.size, file=entry.file)

    def entry(self) -> StateEntry:
        return StateEntry(self.value, self.revision, self.size, self.file)


class StateOut(Reply):
    """A state; `revision` counts its changes."""

    revision: int
    entries: dict[str, StateEntryOut]

    @classmethod
    def of(cls, state: KeyedState) -> "StateOut":
        entries = {key: StateEntryOut.of(entry) for key, entry in state.entries.items()}
        return cls(revision=state.revision, entries=entries)

    def state(self) -> KeyedState:
        return KeyedState(self.revision, {key: entry.entry() for key, entry in self.entries.items()})


class StateChangedOut(Reply):
    """What a change has led to: the entries of its keys, null for one that is not there."""

    revision: int
    entries: dict[str, StateEntryOut | None]

    @classmethod
    def of(cls, done: StateChanged) -> "StateChangedOut":
        entries = {key: None if entry is None else StateEntryOut.of(entry) for key, entry in done.entries.items()}
        return cls(revision=done.revision, entries=entries)

    def changed(self) -> StateChanged:
        entries = {key: None if entry is None else entry.entry() for key, entry in self.entries.items()}
        return StateChanged(self.revision, entries)


class OperationOut(Message):
    """An operation as it was applied; `file` as an entry has it."""

    op: StateOp
    key: str
    value: Json = None
    expected: Json = None
    file: str | None = None


class StateChangeOut(Reply):
    """A change, the revision that it has led to, and the newest event that the conversation had then."""

    revision: int
    at: int
    id: str
    actor: str
    timestamp: Timestamp
    operations: list[OperationOut]

    @classmethod
    def of(cls, stored: NumberedChange) -> "StateChangeOut":
        change = stored.change
        operations = [OperationOut.model_validate(dump_operation(each)) for each in change.operations]
        return cls(
            revision=stored.revision,
            at=stored.at,
            id=change.id,
            actor=change.actor,
            timestamp=change.timestamp,
            operations=operations,
        )

    def numbered(self) -> NumberedChange:
        operations = tuple(
            StateOperation(each.op, each.key, each.value, each.expected, each.file) for each in self.operations
        )
        change = StateChange(id=self.id, operations=operations, actor=self.actor, timestamp=self.timestamp)
        return NumberedChange(self.revision, EventId(self.at), change)


class StateChangesOut(Reply):
    """Changes of a state, oldest first. `after_revision` asks for those that follow; none follow an empty list.
    Where they are long, an answer has fewer than were asked for."""

    changes: list[StateChangeOut]
    after_revision: int

    @classmethod
    def of(cls, changes: Sequence[NumberedChange], after: int) -> "StateChangesOut":
        """`after` is what they were asked with."""
        last = changes[-1].revision if changes else after
        return cls(changes=[StateChangeOut.of(each) for each in changes], after_revision=last)
