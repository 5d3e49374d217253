"""The states of a conversation's container: one table, and the only place where a state changes."""

from collections.abc import Mapping
from enum import StrEnum

from openhands_sessions.core.errors import IllegalTransition


class ContainerState(StrEnum):
    """What this server knows of a container."""

    ABSENT = "Absent"
    RUNNING = "Running"
    PAUSED = "Paused"
    EXITED = "Exited"
    """It ended, or others removed it; what is left of it is removed when its time comes."""
    CLOSED = "Closed"
    """This server does not manage it any more."""


_S = ContainerState

TRANSITIONS: dict[ContainerState, frozenset[ContainerState]] = {
    _S.ABSENT: frozenset({_S.RUNNING, _S.PAUSED, _S.EXITED, _S.CLOSED}),  # created here, or found
    _S.RUNNING: frozenset({_S.PAUSED, _S.EXITED, _S.ABSENT, _S.CLOSED}),
    _S.PAUSED: frozenset({_S.RUNNING, _S.EXITED, _S.ABSENT, _S.CLOSED}),
    _S.EXITED: frozenset({_S.RUNNING, _S.ABSENT, _S.CLOSED}),
    _S.CLOSED: frozenset(),
}
_STATES: Mapping[str, ContainerState] = {"running": _S.RUNNING, "paused": _S.PAUSED}
"""By the engine's status; any other is EXITED."""


class ContainerStateMachine:
    """Holds one container's state and moves it along the table."""

    def __init__(self) -> None:
        self._state = ContainerState.ABSENT

    @property
    def state(self) -> ContainerState:
        return self._state

    def move(self, to: ContainerState) -> None:
        """Nothing where it is in that state. Raises IllegalTransition before anything changes."""
        if to == self._state:
            return
        if to not in TRANSITIONS[self._state]:
            raise IllegalTransition(self._state, to)
        self._state = to

    def observe(self, status: str) -> None:
        """Move to what the engine says of the container: other processes change it, too."""
        found = _STATES.get(status, ContainerState.EXITED)
        if (self._state, found) == (ContainerState.EXITED, ContainerState.PAUSED):
            self.move(ContainerState.RUNNING)  # it was started before it was paused
        self.move(found)
