"""Folds stored entries, for a long log: most of them are not decoded, and the view is copied only when asked for."""

from collections.abc import Sequence

from openhands_sessions.core.events.branches import BranchDeletedObservation
from openhands_sessions.core.events.codec import Stored, decode_for_fold
from openhands_sessions.core.events.handoff import HandedOverObservation
from openhands_sessions.core.events.observations import (
    AgentStateChangedObservation,
    DelegateObservation,
    RunObservation,
)
from openhands_sessions.core.events.own import (
    CheckpointCreatedObservation,
    HistoryMovedObservation,
    HistoryRepairedObservation,
    ModelCalledObservation,
    ReplayBegunObservation,
    ReplayEndedObservation,
    SandboxReplacedObservation,
    TurnEndedObservation,
    TurnResumedObservation,
)
from openhands_sessions.core.evolve import evolve
from openhands_sessions.core.ids import EventId
from openhands_sessions.core.lineage import goes_back_to
from openhands_sessions.core.view import ConversationView, take

ENDS = 1_000
"""Ends of turns whose views a fold keeps."""
MOVE = f"observation:{HistoryMovedObservation.KIND}"
_TELLING = frozenset(
    f"observation:{kind.KIND}"
    for kind in (
        AgentStateChangedObservation,
        BranchDeletedObservation,
        CheckpointCreatedObservation,
        DelegateObservation,
        HandedOverObservation,
        HistoryMovedObservation,
        HistoryRepairedObservation,
        ModelCalledObservation,
        ReplayBegunObservation,
        ReplayEndedObservation,
        RunObservation,
        SandboxReplacedObservation,
        TurnEndedObservation,
        TurnResumedObservation,
    )
)
"""Observations that change a view also where they answer no open action and no question."""


class Fold:
    """As `reduce`, for a long log: the view is copied when it is asked for, not with each event, and an event that is
    told by its kind to change nothing is not decoded. It follows a log, or one chain of it from range to range.

    A move needs the view at the event that it goes back to: ask `missing` before each entry. The views at the ends of
    the newest turns are kept for that."""

    def __init__(self, view: ConversationView) -> None:
        self.head = view.head
        self._view = evolve(view)
        self._ends: dict[EventId, ConversationView] = {}

    @property
    def view(self) -> ConversationView:
        return evolve(self._view, head=self.head)

    @property
    def turn_message(self) -> EventId:
        """As the view has it, without a copy of the view."""
        return self._view.turn_message

    def newest_ends(self, count: int) -> Sequence[ConversationView]:
        """The views at the ends of at most so many of the newest turns, oldest first."""
        return list(self._ends.values())[-count:]

    @property
    def newest_end(self) -> ConversationView | None:
        """The view at the end of the newest turn, where that was folded."""
        return self._ends.get(self._view.settled)

    def missing(self, entry: Stored) -> EventId | None:
        """The event whose view must be given, by `know`, before this entry is added."""
        if entry.kind != MOVE:
            return None
        move = decode_for_fold(entry.text, entry.schema)
        to = goes_back_to(move) if isinstance(move, HistoryMovedObservation) else None
        return to if to != self.head and to not in self._ends else None

    def know(self, view: ConversationView) -> None:
        """Keep a view that a move may need."""
        self._ends.pop(view.head, None)
        self._ends[view.head] = view
        if len(self._ends) > ENDS:
            del self._ends[next(iter(self._ends))]

    def add(self, entry: Stored) -> None:
        """Take in the next entry. Raises StorageError where it is damaged, as far as it is looked at."""
        if _may_change(self._view, entry):
            event = decode_for_fold(entry.text, entry.schema)
            at = self._view
            if isinstance(event, HistoryMovedObservation):
                at = self._ends.get(event.to) or self.view
            take(self._view, event, at)
        self.head = entry.id
        if self._view.settled == entry.id:
            self.know(self.view)


def _may_change(view: ConversationView, entry: Stored) -> bool:
    """Whether the entry changes more than the head: False for observations that only answer, where nothing is open."""
    awaited = bool(view.open_actions or view.budget.reserved) or view.approval is not None
    return entry.kind in _TELLING or awaited or not entry.kind.startswith("observation:")
