"""What the log says of an agent that gives its turn to another one."""

from dataclasses import dataclass

from openhands_sessions.core.events.event import Observation, kinds_of


@dataclass(frozen=True, kw_only=True, slots=True)
class HandedOverObservation(Observation, kind="handed_over", says="The agent {0.agent} takes over"):
    """From here on, the turn is another agent's, as the one before has asked for by a `delegate`."""

    agent: str


HANDOFF_OBSERVATIONS: dict[str, type[Observation]] = kinds_of(Observation, __name__, vars())
