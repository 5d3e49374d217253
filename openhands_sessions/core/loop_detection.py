"""Finds an agent that goes in circles."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

REPEATS = 4
"""So many same steps in a row, or turns of a pattern of two, are a streak."""
GRACE = 2
"""So many more steps of the streak after the note end the turn."""


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
    if not _circles(steps):
        return RepetitionCount(steps), LoopVerdict.FINE
    streak = replace(streak, steps=steps, warned=streak.warned + 1)
    if streak.warned == 1:
        return streak, LoopVerdict.NOTE
    return streak, LoopVerdict.STOP if streak.warned > GRACE else LoopVerdict.FINE


def _circles(steps: Sequence[str]) -> bool:
    same = len(steps) >= REPEATS and len(set(steps[-REPEATS:])) == 1
    if same:
        return True
    pair = steps[-2 * REPEATS :]
    return len(pair) == 2 * REPEATS and len(set(pair[::2])) == 1 and len(set(pair[1::2])) == 1
