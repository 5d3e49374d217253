"""Two states that began alike, as one: what to take over, and what both sides have changed. Pure."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from openhands_sessions.core.events.event import Json
from openhands_sessions.core.state import StateOp, StateOperation, same


@dataclass(frozen=True, slots=True)
class StateAncestor:
    """What both states began with. Of the keys in `unknown` that is not known."""

    values: Mapping[str, Json] = field(default_factory=dict)
    unknown: Set[str] = frozenset()


@dataclass(frozen=True, slots=True)
class StateConflict:
    """A key that both sides have changed, each to another value: what it was, and what it is; None where it was or is
    not there, or where that is not known."""

    key: str
    base: Json
    ours: Json
    theirs: Json


def common_ancestor(ours: StateAncestor | None, theirs: StateAncestor | None) -> StateAncestor:
    """From what each state was copied with, None for one that is no copy. Two copies had it in common as far as they
    began with the same."""
    if ours is None or theirs is None:
        return ours or theirs or StateAncestor()
    differing = {key for key in {*ours.values, *theirs.values} if not _same(key, ours.values, theirs.values)}
    values = {key: value for key, value in ours.values.items() if key not in differing}
    return StateAncestor(values, differing | ours.unknown | theirs.unknown)


def merged_states(
    base: StateAncestor, ours: Mapping[str, Json], theirs: Mapping[str, Json]
) -> tuple[Sequence[StateOperation], Sequence[StateConflict]]:
    """What takes over into `ours` that `theirs` alone has changed, and the conflicts, both by their keys."""
    taken: list[StateOperation] = []
    conflicts: list[StateConflict] = []
    for key in sorted({*ours, *theirs}):
        if _same(key, ours, theirs) or (key not in base.unknown and _same(key, theirs, base.values)):
            continue
        if key not in base.unknown and _same(key, ours, base.values):
            taken.append(becoming(key, theirs))
        else:
            conflicts.append(StateConflict(key, base.values.get(key), ours.get(key), theirs.get(key)))
    return taken, conflicts


def becoming(key: str, values: Mapping[str, Json]) -> StateOperation:
    """What makes the key what it is in `values`."""
    return StateOperation(StateOp.SET, key, values[key]) if key in values else StateOperation(StateOp.DELETE, key)


def _same(key: str, one: Mapping[str, Json], other: Mapping[str, Json]) -> bool:
    return (key in one) == (key in other) and same(one.get(key), other.get(key))
