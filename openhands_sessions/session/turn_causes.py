"""Which request caused which turn, for traces."""

from openhands_sessions.core.ids import EventId


class TurnCauses:
    """The `traceparent` of the newest request for each turn that has not begun. There are as many as queued messages,
    whose number is limited."""

    def __init__(self, first: str | None) -> None:
        """`first` caused the session, and with it the turn that it begins with."""
        self._first = first
        self._parents: dict[EventId, str] = {}

    def note(self, turn: EventId | None, parent: str | None) -> None:
        """A request was accepted that belongs to this turn."""
        self._first = None
        if turn is not None and parent is not None:
            self._parents[turn] = parent

    def of(self, turn: EventId | None) -> str | None:
        """Of the turn that begins, or goes on."""
        first, self._first = self._first, None
        if turn is None:
            return first
        parent = self._parents.get(turn)
        self._parents = {later: other for later, other in self._parents.items() if later > turn}
        return parent or first
