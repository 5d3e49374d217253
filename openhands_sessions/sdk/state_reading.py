"""A state as a program reads it, and a draft of what it is to be."""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field

from openhands_sessions.core.errors import RevisionConflict
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.state import StateOp, StateOperation, same
from openhands_sessions.core.state_values import plain


@dataclass(frozen=True, slots=True)
class StateReading:
    """Values by key, and the revision that has set each; those of an earlier reading are not changed."""

    revision: int = 0
    values: Mapping[str, Json] = field(default_factory=dict)
    revisions: Mapping[str, int] = field(default_factory=dict)


class StateDraft(MutableMapping[str, Json]):
    """A copy of a state that is changed as a dict is, values inside of it too; nothing is written before its block
    ends."""

    def __init__(self, reading: StateReading, *, guards_reads: bool) -> None:
        self._reading = reading
        self._guards_reads = guards_reads
        self._values: dict[str, Json] = {key: plain(value, key) for key, value in reading.values.items()}
        self._read: set[str] = set()

    def __getitem__(self, key: str) -> Json:
        self._read.add(key)
        return self._values[key]

    def __setitem__(self, key: str, value: Json) -> None:
        self._values[key] = value

    def __delitem__(self, key: str) -> None:
        del self._values[key]

    def __iter__(self) -> Iterator[str]:
        self._read.update(self._values)
        return iter([*self._values])

    def __len__(self) -> int:
        return len(self._values)

    def operations(self) -> Sequence[StateOperation]:
        """What turns the state that was read into the draft."""
        before = self._reading.values
        values = {key: plain(value, key) for key, value in self._values.items()}
        changed = [
            StateOperation(StateOp.SET, key, value)
            for key, value in values.items()
            if key not in before or not same(before[key], value)
        ]
        return [*changed, *(StateOperation(StateOp.DELETE, key) for key in before if key not in values)]

    def bases(self, operations: Sequence[StateOperation]) -> Mapping[str, int]:
        """The revisions that must still be those of the reading: of keys that the draft changes and, for a transaction,
        of those that it has read."""
        keys = {each.key for each in operations} | (self._read if self._guards_reads else set())
        return {key: self._reading.revisions.get(key, 0) for key in keys}

    def conflict(self, error: RevisionConflict) -> RevisionConflict:
        """The conflict, with the value that was read."""
        base = self._reading.values.get(error.key)
        return RevisionConflict(error.key, base=base, ours=self._values.get(error.key), theirs=error.theirs)
