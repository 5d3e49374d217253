"""Which events of a log are visible. Each event follows the one before it; a move follows the event that it goes back
to. The events from there to the newest one are the visible chain. Pure."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from openhands_sessions.core.events.branches import BranchDeletedObservation
from openhands_sessions.core.events.own import CheckpointCreatedObservation, HistoryMovedObservation
from openhands_sessions.core.evolve import evolve
from openhands_sessions.core.ids import UNNUMBERED, EventId

MAIN = "main"
"""The branch that a conversation begins on."""

Naming = CheckpointCreatedObservation | BranchDeletedObservation
"""What changes the names of places, and moves nothing."""

Chain = tuple[tuple[EventId, EventId], ...]
"""Ranges of events, both ends included, ascending."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Branch:
    """A dialogue that was left, up to and with event `tip`, the end of a turn. `left` is the newest event that there
    was then: up to it, changes of the state belong to the branch."""

    name: str
    tip: EventId
    left: EventId = field(default=UNNUMBERED, compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A name for event `at`, the end of a turn; UNNUMBERED while that turn has not ended. `made` is the event that
    names it."""

    name: str
    description: str
    at: EventId
    made: EventId = field(default=UNNUMBERED, compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Lineage:
    """The moves of a log, and the names of places in it."""

    moves: tuple[tuple[EventId, EventId], ...] = ()
    """Oldest first: the move, and the event after which the dialogue goes on."""
    branch: str = MAIN
    """Where the dialogue goes on now."""
    branches: tuple[Branch, ...] = ()
    """The other ones, by the order in which they were left."""
    checkpoints: tuple[Checkpoint, ...] = ()

    def path(self, event: int) -> Chain:
        """The chain that ends with this event, which may lie on any branch. Empty for UNNUMBERED."""
        ranges: list[tuple[EventId, EventId]] = []
        end, place = event, len(self.moves)
        while end > UNNUMBERED:
            place = bisect_right(self.moves, end, 0, place, key=lambda move: move[0])
            start, before = self.moves[place - 1] if place else (EventId(0), UNNUMBERED)
            if ranges and ranges[-1][0] == end + 1:
                end = ranges.pop()[1]  # a move that went back over nothing
            ranges.append((start, EventId(end)))
            end = before
        return tuple(reversed(ranges))

    def known(self, name: str) -> bool:
        """Whether a branch has this name."""
        return name == self.branch or any(branch.name == name for branch in self.branches)

    def new_name(self) -> str:
        """A number that no branch is named by."""
        return next(name for name in map(str, range(1, len(self.branches) + 3)) if not self.known(name))


ONE_CHAIN = Lineage()
"""Of a log without moves."""


def on_chain(chain: Chain, event: int) -> bool:
    """Whether the event lies on the chain."""
    place = bisect_right(chain, event, key=lambda one: one[0])
    return place > 0 and event <= chain[place - 1][1]


def at_most(chain: Chain, event: int) -> EventId:
    """The newest event of the chain that is not newer than this one; UNNUMBERED where there is none."""
    place = bisect_right(chain, event, key=lambda one: one[0])
    return EventId(min(event, chain[place - 1][1])) if place else UNNUMBERED


def between(chain: Chain, after: int, before: int) -> Iterator[tuple[int, int]]:
    """The ranges of the chain's events with `after < id < before`, both ends included."""
    for start, end in chain:
        first, last = max(start, after + 1), min(end, before - 1)
        if first <= last:
            yield first, last


def parting(chain: Chain, other: Chain) -> EventId:
    """The newest event that both chains have; UNNUMBERED where there is none."""
    common = UNNUMBERED
    for (start, end), (other_start, other_end) in zip(chain, other, strict=False):
        if start != other_start:
            break
        common = min(end, other_end)
        if end != other_end:
            break
    return common


def goes_back_to(move: HistoryMovedObservation) -> EventId | None:
    """The event after which the dialogue goes on; None where there is no such event before the move: then it moves
    nothing."""
    return move.to if UNNUMBERED < move.to < move.id else None


def state_goes_back_to(move: HistoryMovedObservation) -> EventId | None:
    """The event up to which changes of the session's state count after a move; None where it moves nothing."""
    to = goes_back_to(move)
    return None if to is None else max(to, move.state_at) if move.state_at < move.id else to


def moved(lineage: Lineage, move: HistoryMovedObservation) -> Lineage:
    """After a move that `goes_back_to` an event."""
    branches = tuple(one for one in lineage.branches if one.name not in (move.branch, move.left_branch))
    if move.left_branch and move.left_branch != move.branch:
        branches = (*branches, Branch(name=move.left_branch, tip=move.left_tip, left=EventId(move.id - 1)))
    moves = (*lineage.moves, (move.id, move.to))
    return evolve(lineage, moves=moves, branch=move.branch or lineage.branch, branches=branches)


def labelled(lineage: Lineage, made: CheckpointCreatedObservation, at: EventId) -> Lineage:
    """With one more checkpoint, at the event `at`; a name that is given again names the new place."""
    others = tuple(one for one in lineage.checkpoints if one.name != made.name)
    checkpoint = Checkpoint(name=made.name, description=made.description, at=at, made=made.id)
    return evolve(lineage, checkpoints=(*others, checkpoint))


def named(lineage: Lineage, event: Naming, at: EventId) -> Lineage:
    """After a change of the names; `at` is the end of the newest turn, UNNUMBERED while it runs."""
    if isinstance(event, CheckpointCreatedObservation):
        return labelled(lineage, event, at)
    return evolve(lineage, branches=tuple(one for one in lineage.branches if one.name != event.name))


def turn_over(lineage: Lineage, end: EventId) -> Lineage:
    """Checkpoints that were made in a turn lie at its end."""
    if all(one.at != UNNUMBERED for one in lineage.checkpoints):
        return lineage
    placed = tuple(evolve(one, at=end) if one.at == UNNUMBERED else one for one in lineage.checkpoints)
    return evolve(lineage, checkpoints=placed)
