"""The life of a session: one table, and the only place where a state changes."""

from enum import StrEnum

from openhands_sessions.core.errors import IllegalTransition


class SessionState(StrEnum):
    """Where an AgentSession is between Created and Closed."""

    CREATED = "Created"
    INITIALIZING = "Initializing"
    RUNTIME_SETUP = "RuntimeSetup"
    AGENT_SETUP = "AgentSetup"
    MEMORY_SETUP = "MemorySetup"
    CONTROLLER_SETUP = "ControllerSetup"
    READY = "Ready"
    RUNNING = "Running"
    CLOSING = "Closing"
    CLOSED = "Closed"
    ERROR = "Error"


_S = SessionState
_ENDS = frozenset({_S.ERROR, _S.CLOSING})

TRANSITIONS: dict[SessionState, frozenset[SessionState]] = {
    _S.CREATED: frozenset({_S.INITIALIZING, _S.CLOSING}),
    _S.INITIALIZING: _ENDS | {_S.RUNTIME_SETUP},
    _S.RUNTIME_SETUP: _ENDS | {_S.AGENT_SETUP},
    _S.AGENT_SETUP: _ENDS | {_S.MEMORY_SETUP},
    _S.MEMORY_SETUP: _ENDS | {_S.CONTROLLER_SETUP},
    _S.CONTROLLER_SETUP: _ENDS | {_S.READY},
    _S.READY: _ENDS | {_S.RUNNING},
    _S.RUNNING: _ENDS | {_S.READY},
    _S.ERROR: frozenset({_S.CLOSING}),
    _S.CLOSING: frozenset({_S.CLOSED}),
    _S.CLOSED: frozenset(),
}

SET_UP = (_S.INITIALIZING, _S.RUNTIME_SETUP, _S.AGENT_SETUP, _S.MEMORY_SETUP, _S.CONTROLLER_SETUP)


class Lifecycle:
    """Holds one session's state and moves it along the table."""

    def __init__(self) -> None:
        self._state = SessionState.CREATED

    @property
    def state(self) -> SessionState:
        return self._state

    def move(self, to: SessionState) -> SessionState:
        """Move and return the state left. Raises IllegalTransition before anything changes."""
        old = self._state
        if to not in TRANSITIONS[old]:
            raise IllegalTransition(old, to)
        self._state = to
        return old
