"""What ends a turn early: its budgets, and repetition of the same steps."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from openhands_sessions.core.events.own import StopReason
from openhands_sessions.core.settings import SessionSettings
from openhands_sessions.core.view import ConversationView

REPEATS = 4
"""Equal steps in a row, or rounds of a pattern of two, that make a streak."""
GRACE = 2
"""Further steps of the streak after the note that end the turn."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that was reached; `text` is for users and begins as the V0 client expects."""

    reason: StopReason
    text: str


def over(view: ConversationView, settings: SessionSettings) -> Limit | None:
    """The limit that forbids one more model call of this turn, if any."""
    if view.iterations >= settings.max_iterations:
        text = f"Agent reached maximum iterations of a turn ({settings.max_iterations}). Say continue to go on."
        return Limit(StopReason.MAX_ITERATIONS, text)
    budget = settings.max_budget_per_task
    if budget is not None and view.cost - view.cost_before_turn >= budget:
        text = f"Agent reached maximum budget of a turn (${budget:.2f}). Say continue to go on."
        return Limit(StopReason.MAX_COST, text)
    return None


class LoopVerdict(StrEnum):
    """What the newest step means."""

    FINE = "fine"
    NOTE = "note"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class RepetitionCount:
    """The newest steps of a turn, each a call with its result as one text, and how long the agent was warned."""

    steps: tuple[str, ...] = ()
    warned: int = 0


def check_repetition(streak: RepetitionCount, step: str) -> tuple[RepetitionCount, LoopVerdict]:
    """Add a step: a note once per streak, a stop where the streak goes on for GRACE steps, otherwise fine."""
    steps = (*streak.steps, step)[-2 * REPEATS :]
    if not _repeats(steps):
        return RepetitionCount(steps), LoopVerdict.FINE
    streak = replace(streak, steps=steps, warned=streak.warned + 1)
    if streak.warned == 1:
        return streak, LoopVerdict.NOTE
    return streak, LoopVerdict.STOP if streak.warned > GRACE else LoopVerdict.FINE


def _repeats(steps: Sequence[str]) -> bool:
    same = len(steps) >= REPEATS and len(set(steps[-REPEATS:])) == 1
    pair = steps[-2 * REPEATS :]
    return same or (len(pair) == 2 * REPEATS and len(set(pair[::2])) == 1 and len(set(pair[1::2])) == 1)
