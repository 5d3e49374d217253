"""Events about the names of branches. Clients of the V0 protocol are not sent them."""

from dataclasses import dataclass

from openhands_sessions.core.events.event import Observation, kinds_of


@dataclass(frozen=True, kw_only=True, slots=True)
class BranchDeletedObservation(Observation, kind="branch_deleted", says="Branch {0.name} is deleted"):
    """From here on no branch has this name, which may be given again. What was said on it stays in the log."""

    name: str


BRANCH_OBSERVATIONS: dict[str, type[Observation]] = kinds_of(Observation, __name__, vars())
