"""Which snapshots of a log are kept: close together near its end, half as many before that. Pure."""

from collections.abc import Iterable, Sequence

from openhands_sessions.core.ids import EventId

SPACING = 1_000
"""Events between two snapshots among the newest `DENSE` events."""
DENSE = 10_000
LONGEST = 2_000
"""Events between two snapshots before that: a move to any turn folds so many, or less than twice as many."""


def spacing(distance: int) -> int:
    """Events between two snapshots that lie `distance` events before the log's end. From any event on, a kept snapshot
    is less than twice as many events below, as far as one was ever saved in each `SPACING` events."""
    return SPACING if distance < DENSE else LONGEST


def kept(heads: Iterable[EventId], newest: int | None = None) -> Sequence[EventId]:
    """Which snapshots stay, of those with these heads, ascending: the newest, and the first in each stretch of
    `spacing` events. Stretches begin at multiples of their length, so that a longer one consists of whole shorter
    ones: what one call removes, no later call would have kept.

    `newest` is the end of the log where no snapshot has it."""
    found: list[EventId] = []
    ordered = sorted(heads)
    end = ordered[-1] if newest is None and ordered else newest or 0
    last = None
    for head in ordered:
        length = spacing(end - head)
        stretch = (length, head // length)
        if stretch != last or head == end:
            found.append(head)
        last = stretch
    return found


def rungs(newest: int) -> Sequence[EventId]:
    """At which events a fold of a log up to `newest` is worth a snapshot."""
    return kept([EventId(head) for head in range(SPACING, newest, SPACING)], newest)
