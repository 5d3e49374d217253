"""What the actions of a conversation have left in its sandbox. Pure."""

from dataclasses import dataclass, replace

from openhands_sessions.core.events.event import Observation
from openhands_sessions.core.events.observations import (
    LEFT_RUNNING,
    EditObservation,
    ReadObservation,
    RunIpythonObservation,
    RunObservation,
    WriteObservation,
)
from openhands_sessions.core.events.own import SandboxReplacedObservation
from openhands_sessions.core.ids import EventId

_RESULTS = (RunObservation, RunIpythonObservation, EditObservation, ReadObservation, WriteObservation)
"""Of actions that have run; an error may be of one that has not."""
RESULT_KINDS = frozenset(f"observation:{kind.KIND}" for kind in _RESULTS)


@dataclass(frozen=True, kw_only=True, slots=True)
class SandboxUse:
    """Of the sandbox that there is now."""

    executed: EventId | None = None
    """The newest action that has run there."""
    left_running: EventId | None = None
    """The newest action whose command still runs after its observation."""


UNUSED = SandboxUse()


def sandbox_after(use: SandboxUse, event: Observation, *, answers: bool) -> SandboxUse:
    """The use after one more event; `answers`: the event is the result of an open action. What was copied from another
    conversation has not run here."""
    if event.origin is not None:
        return use
    if isinstance(event, SandboxReplacedObservation):
        return UNUSED
    if isinstance(event, RunObservation):
        left = event.cause if event.metadata.suffix == LEFT_RUNNING else None
        use = use if left == use.left_running else replace(use, left_running=left)
    return replace(use, executed=event.cause) if answers and isinstance(event, _RESULTS) else use
