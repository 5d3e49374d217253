"""The state of a session, a user or an app: the fold of operations on its keys. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

import orjson

from openhands_sessions.core.errors import BadInput, RevisionConflict, TooLarge
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.masking import SecretMasker
from openhands_sessions.core.state_values import LARGEST_STATE, checked_key, plain, size_of_value

MOST_OPERATIONS = 1_000
"""Of one change."""
BEGINNING = "fork"
"""The id of the change that a copied state begins with."""
LONGEST_ID = 200
"""Characters of a change's id."""


class StateOp(StrEnum):
    """What an operation does with the value of its key."""

    SET = "set"
    DELETE = "delete"
    """A key that is not there stays so."""
    INCR = "incr"
    """Add a number; a key that is not there counts as 0."""
    APPEND = "append"
    """Add an item at the end of a list; a key that is not there counts as an empty list."""
    COMPARE_AND_SET = "compare_and_set"
    """Set it where it equals `expected`; a key that is not there counts as None."""


@dataclass(frozen=True, slots=True)
class StateOperation:
    """One operation on one key. `value` is what is set, added or appended. A value that is kept in the file store has
    its key there in `file`."""

    op: StateOp
    key: str
    value: Json = None
    expected: Json = None
    file: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StateChange:
    """Operations that take effect together, in their order, or not at all. The same `id` takes effect once. `bases` are
    revisions of keys: where a key has another one, the change is refused. `actor` is who makes it."""

    id: str
    operations: tuple[StateOperation, ...]
    actor: str
    timestamp: datetime
    bases: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def keys(self) -> tuple[str, ...]:
        """Those that it writes or depends on, each once."""
        return tuple({**{each.key: None for each in self.operations}, **dict.fromkeys(self.bases)})


@dataclass(frozen=True, slots=True)
class StateEntry:
    """A value, the revision of the state that has set it, and its bytes, those of the key with them. `file` as in
    StateOperation; then the value is None."""

    value: Json
    revision: int
    size: int
    file: str | None = None


@dataclass(frozen=True, slots=True)
class KeyedState:
    """All that is set. `revision` counts the changes, also those that are not visible any more."""

    revision: int = 0
    entries: Mapping[str, StateEntry] = field(default_factory=lambda: MappingProxyType({}))

    def values(self) -> dict[str, Json]:
        """By key; a value in the file store is left out."""
        return {key: entry.value for key, entry in self.entries.items() if entry.file is None}


def checked(change: StateChange) -> StateChange:
    """The change with copies of its values. Raises BadInput, UnstorableValue, which names the part of a value."""
    if not 0 < len(change.id) <= LONGEST_ID or not change.id.isprintable():
        raise BadInput("id", f"must be a text of 1 to {LONGEST_ID} printable characters")
    if not 0 < len(change.operations) <= MOST_OPERATIONS:
        raise BadInput("operations", f"must be 1 to {MOST_OPERATIONS}")
    return StateChange(
        id=change.id,
        operations=tuple(_checked(each) for each in change.operations),
        actor=change.actor,
        timestamp=change.timestamp,
        bases={checked_key(key): base for key, base in change.bases.items()},
    )


def without_secrets(change: StateChange, masker: SecretMasker) -> StateChange:
    """The change with every secret in its keys and values replaced."""
    operations = (
        replace(each, key=masker.text(each.key), value=masker.tree(each.value), expected=masker.tree(each.expected))
        for each in change.operations
    )
    return replace(change, operations=tuple(operations))


def apply(change: StateChange, entries: Mapping[str, StateEntry], revision: int) -> dict[str, StateEntry | None]:
    """What the change makes of the entries of its keys, None for a key that is not there then. `entries` has those
    before it, perhaps with others; `revision` is that of the state after it. Raises RevisionConflict, BadInput,
    TooLarge; then nothing has changed."""
    for key, base in change.bases.items():
        entry = entries.get(key)
        if base != (0 if entry is None else entry.revision):
            raise RevisionConflict(key, ours=_last_value(change, key), theirs=None if entry is None else entry.value)
    after: dict[str, StateEntry | None] = {}
    for operation in change.operations:
        key = operation.key
        after[key] = _after(operation, after[key] if key in after else entries.get(key), revision)
    return after


def check_same(known: StateChange, again: StateChange) -> None:
    """Raises BadInput where a change comes with the id of a stored one, and is another one."""
    if not same(
        [dump_operation(each) for each in known.operations], [dump_operation(each) for each in again.operations]
    ):
        raise BadInput("id", "was used for another change; take a new one")


def added_size(before: Mapping[str, StateEntry], after: Mapping[str, StateEntry | None], size: int) -> int:
    """Bytes of a state that had `size` of them, with its entries changed. Raises TooLarge where it has grown beyond
    LARGEST_STATE."""
    for key, entry in after.items():
        found = before.get(key)
        size += (0 if entry is None else entry.size) - (0 if found is None else found.size)
    grows = any(
        entry is not None and (key not in before or before[key].size < entry.size) for key, entry in after.items()
    )
    if size > LARGEST_STATE and grows:
        raise TooLarge(f"the state would take {size:,} bytes, and may take {LARGEST_STATE:,}", LARGEST_STATE)
    return size


def fold(changes: Iterable[tuple[int, StateChange]]) -> KeyedState:
    """The state after these changes, each with its revision, ascending. An id that comes again takes no effect."""
    entries: dict[str, StateEntry] = {}
    known: set[str] = set()
    revision = 0
    for revision, change in changes:
        if change.id not in known:
            known.add(change.id)
            merge(entries, apply(change, entries, revision))
    return KeyedState(revision, entries)


def merge(entries: dict[str, StateEntry], after: Mapping[str, StateEntry | None]) -> None:
    """Take in what a change has made of some entries."""
    for key, entry in after.items():
        if entry is None:
            entries.pop(key, None)
        else:
            entries[key] = entry


def dump_change(change: StateChange) -> str:
    """As it stands in the log of the state: JSON text. What it depended on is left out, as it was met."""
    operations = [dump_operation(each) for each in change.operations]
    stored = {"id": change.id, "actor": change.actor, "timestamp": change.timestamp.isoformat()}
    return orjson.dumps({**stored, "operations": operations}).decode()


def load_change(text: str) -> StateChange:
    """Raises ValueError, KeyError, TypeError for what `dump_change` has not made."""
    stored = orjson.loads(text)
    return StateChange(
        id=stored["id"],
        operations=tuple(StateOperation(**{**each, "op": StateOp(each["op"])}) for each in stored["operations"]),
        actor=stored["actor"],
        timestamp=datetime.fromisoformat(stored["timestamp"]),
    )


def dump_operation(operation: StateOperation) -> dict[str, Json]:
    """Its fields, without those that say nothing."""
    shown: dict[str, Json] = {"op": operation.op.value, "key": operation.key}
    if operation.op is not StateOp.DELETE and operation.file is None:
        shown["value"] = operation.value
    if operation.op is StateOp.COMPARE_AND_SET:
        shown["expected"] = operation.expected
    return shown if operation.file is None else {**shown, "file": operation.file}


def _checked(operation: StateOperation) -> StateOperation:
    key = checked_key(operation.key)
    value, expected = plain(operation.value, key), plain(operation.expected, key)
    if operation.op is StateOp.INCR and not _is_number(value):
        raise BadInput("value", f"must be a number to be added to {key!r}")
    return StateOperation(operation.op, key, value, expected, operation.file)


def _after(operation: StateOperation, entry: StateEntry | None, revision: int) -> StateEntry | None:
    key, before = operation.key, None if entry is None else entry.value
    if entry is not None and entry.file is not None and operation.op not in (StateOp.SET, StateOp.DELETE):
        raise TooLarge(f"{key!r} is kept as a file: it can only be set or deleted")
    match operation.op:
        case StateOp.DELETE:
            return None
        case StateOp.INCR:
            value: Json = _sum(key, before, operation.value)
        case StateOp.APPEND:
            if not isinstance(before, list | None):
                raise BadInput(key, f"must be a list to be appended to, and is {type(before).__name__}")
            value = [*(before or ()), operation.value]
        case StateOp.COMPARE_AND_SET if not same(before, operation.expected):
            raise RevisionConflict(key, base=operation.expected, ours=operation.value, theirs=before)
        case _:
            value = operation.value
    return StateEntry(value, revision, size_of_value(key, value), operation.file)


def same(one: Json, other: Json) -> bool:
    """Whether two values are the same for JSON: `1` and `True` are not."""
    return orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)


def _sum(key: str, before: Json, by: Json) -> Json:
    if before is None:
        before = 0
    if not _is_number(before):
        raise BadInput(key, f"must be a number to be added to, and is {type(before).__name__}")
    return plain(before + by, key)  # type: ignore[operator]  # both are numbers


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _last_value(change: StateChange, key: str) -> Json:
    return next((each.value for each in reversed(change.operations) if each.key == key), None)
