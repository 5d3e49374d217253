"""Merges the state of another session into that of a session of a program. Runs on the private loop."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from openhands_sessions.core.errors import BadInput, RevisionConflict
from openhands_sessions.core.state import BEGINNING, StateOperation
from openhands_sessions.core.state_merging import StateAncestor, StateConflict, becoming, common_ancestor, merged_states
from openhands_sessions.core.state_values import plain
from openhands_sessions.sdk.opening import StateCalls
from openhands_sessions.sdk.scoped_state import MOST_TRIES
from openhands_sessions.sdk.state_reading import StateReading
from openhands_sessions.sdk.worker_thread import in_thread

OnConflict = Literal["ours", "theirs", "latest", "error"] | Callable[[str, Any, Any, Any], Any]
"""Which value a key gets that both sessions have changed; a function makes it of the key, the value that both began
with, ours and theirs."""
CHOICES = ("ours", "theirs", "latest", "error")
LONG_AGO = datetime.min.replace(tzinfo=UTC)


def checked_choice(on_conflict: OnConflict) -> OnConflict:
    """Raises BadInput."""
    if on_conflict not in CHOICES and not callable(on_conflict):
        raise BadInput("on_conflict", f"must be a function, or one of {', '.join(map(repr, CHOICES))}")
    return on_conflict


class StateMerge:
    """Of the states `theirs` into `ours`, for the conversation `owner`; `began` is ours, or the one that ours is a copy
    of where what both began with is to be read there."""

    def __init__(self, ours: StateCalls, theirs: StateCalls, owner: str, *, began: StateCalls) -> None:
        self._ours = ours
        self._theirs = theirs
        self._owner = owner
        self._began = began

    async def check(self) -> None:
        """Raises RevisionConflict for a key that both sides have changed."""
        _, conflicts, _, _ = await self._compared()
        for one in conflicts:
            raise RevisionConflict(one.key, base=one.base, ours=one.ours, theirs=one.theirs)

    async def carry_out(self, on_conflict: OnConflict) -> tuple[str, ...]:
        """Take over what is theirs, together; the keys that both have changed. Raises RevisionConflict where others
        change the same keys again and again, and what a function raises."""
        for tries in range(1, MOST_TRIES + 1):
            taken, conflicts, ours, theirs = await self._compared()
            operations = [*taken]
            for one in conflicts:
                operations += await self._resolved(one, on_conflict, ours, theirs)
            keys = [each.key for each in operations]
            try:
                if operations:
                    await self._ours.change(operations, {key: ours.revisions.get(key, 0) for key in keys})
            except RevisionConflict:
                if tries == MOST_TRIES:
                    raise
            else:
                return tuple(one.key for one in conflicts)
        raise AssertionError("the last try returns or raises")

    async def _compared(self) -> tuple[Sequence[StateOperation], Sequence[StateConflict], StateReading, StateReading]:
        base = common_ancestor(await _beginning(self._began), await _beginning(self._theirs))
        ours, theirs = await self._ours.read(), await self._theirs.read()
        return *merged_states(base, ours.values, theirs.values), ours, theirs

    async def _resolved(
        self, one: StateConflict, on_conflict: OnConflict, ours: StateReading, theirs: StateReading
    ) -> Sequence[StateOperation]:
        if callable(on_conflict):
            function = on_conflict
            made = await in_thread(lambda: function(one.key, one.base, one.ours, one.theirs), self._owner)
            return [becoming(one.key, {one.key: plain(made, one.key)})]
        if on_conflict == "latest":
            newer = await _moment(self._theirs, theirs, one.key) > await _moment(self._ours, ours, one.key)
            on_conflict = "theirs" if newer else "ours"
        return [becoming(one.key, theirs.values)] if on_conflict == "theirs" else []


async def _beginning(calls: StateCalls) -> StateAncestor | None:
    """What a state was copied with; None for one that is no copy, or a copy of an empty one. Values that are kept as
    files may be gone, and are not read."""
    first = await calls.changes(0, 1)
    if not first or first[0].change.id != BEGINNING:
        return None
    operations = first[0].change.operations
    return StateAncestor(
        {each.key: each.value for each in operations if each.file is None},
        {each.key for each in operations if each.file is not None},
    )


async def _moment(calls: StateCalls, reading: StateReading, key: str) -> datetime:
    """When the key was set; long ago where it is not there."""
    revision = reading.revisions.get(key)
    found = [] if revision is None else await calls.changes(revision - 1, 1)
    return found[0].change.timestamp if found else LONG_AGO
