"""How far a replay has come. Pure."""

from dataclasses import dataclass

from openhands_sessions.core.events.event import Action
from openhands_sessions.core.evolve import evolve
from openhands_sessions.core.ids import UNNUMBERED, EventId

REPLAYED = "replay#"
"""Begins the id of the reply that stands for a recorded step."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayProgress:
    """How far recorded steps have been issued: `done` of `steps`. `begun` is the event with which it began, `action`
    the last one that was issued."""

    begun: EventId
    steps: int
    done: int = 0
    action: EventId = UNNUMBERED

    def after(self, event: Action) -> "ReplayProgress":
        """The progress after one more action that has a cause."""
        if event.cause == self.begun:
            return evolve(self, done=self.done + 1, action=event.id)
        return evolve(self, action=event.id) if event.cause == self.action else self  # restated after an answer
