"""Whether the steps of an agent go in circles. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import blake2b

REPEATS = 4
"""Equal steps in a row that make a streak."""
ROUNDS = 3
"""Rounds of a longer cycle that make a streak."""
LONGEST_CYCLE = 5
"""Steps of the longest cycle that is looked for."""
GRACE = 2
"""Further steps of the streak after the note that end the turn."""


class LoopVerdict(StrEnum):
    """What the newest step means."""

    FINE = "fine"
    NOTE = "note"
    PAUSE = "pause"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class RepetitionCount:
    """The newest steps of a turn. `period` is the length of the cycle that they repeat, 0 for none; `further` counts
    the steps of that streak since the agent was `noted`. `paused` is the cycle because of which the turn before was
    paused."""

    steps: tuple[str, ...] = ()
    period: int = 0
    noted: bool = False
    further: int = 0
    paused: tuple[str, ...] = ()

    def after(self, step: str) -> "RepetitionCount":
        """The count after one more step."""
        steps = (*self.steps, step)[-ROUNDS * LONGEST_CYCLE :]
        if self.period and steps[-1] == steps[-1 - self.period]:
            return replace(self, steps=steps, further=self.further + 1 if self.noted else 0)
        return RepetitionCount(steps, period=_period(steps), paused=self.paused)

    def told(self) -> "RepetitionCount":
        """The count once the agent was given the note of this streak."""
        return replace(self, noted=True, further=0)

    def over(self, *, paused: bool) -> "RepetitionCount":
        """The count of the next turn."""
        return RepetitionCount(paused=self.steps[-self.period :] if paused and self.period else ())

    @property
    def verdict(self) -> LoopVerdict:
        """One note for each streak, then a pause; a stop where the turn after a pause goes in the same circle."""
        if not self.period:
            return LoopVerdict.FINE
        if set(self.steps[-self.period :]) == set(self.paused):
            return LoopVerdict.STOP
        if not self.noted:
            return LoopVerdict.NOTE
        return LoopVerdict.PAUSE if self.further >= GRACE else LoopVerdict.FINE


def step_of(calls: Sequence[tuple[str, str, str]]) -> str:
    """One reply's step: its calls, each a tool's name, arguments as the model wrote them, and result. Equal for equal
    values of the arguments, whatever their order and white space."""
    text = "\0".join(f"{name}\0{canonical(arguments)}\0{result}" for name, arguments, result in calls)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def canonical(arguments: str) -> str:
    """The arguments with sorted keys and without white space; those that are no JSON as they are."""
    try:
        # With the standard library: orjson reads large integers as floats, which makes different ones equal.
        return json.dumps(json.loads(arguments.strip() or "{}"), sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        return arguments.strip()


def _period(steps: Sequence[str]) -> int:
    """The length of the shortest cycle that the newest steps repeat often enough; 0 for none."""
    for period in range(1, LONGEST_CYCLE + 1):
        length = REPEATS if period == 1 else ROUNDS * period
        newest = steps[-length:]
        if len(newest) == length and newest[period:] == newest[:-period]:
            return period
    return 0
