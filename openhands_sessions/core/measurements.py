"""What a process counts while it works: plain numbers, which cost nothing until somebody asks for them."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from openhands_sessions.core.events.own import CallOutcome, ModelCalledObservation
from openhands_sessions.core.money import MicroDollars

APPEND_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
LAG_BOUNDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
MOST_MODELS = 50
LONGEST_MODEL = 100
OTHER_MODELS = "other"
"""Stands for every model whose name is not told."""


class Histogram:
    """Numbers counted by the least of `bounds` that they do not exceed; the last count is of those above all."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, number: float) -> None:
        self.counts[bisect_left(self.bounds, number)] += 1
        self.sum += number


@dataclass(slots=True)
class ModelUse:
    """What one model has been asked: calls by outcome, tokens by kind, cost, seconds of answered calls."""

    calls: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    micro_dollars: MicroDollars = 0
    seconds: float = 0.0


class ModelUses:
    """By the names of models. Users choose those: a name is told once the model has answered, and at most MOST_MODELS
    names are, so that nobody can have a server tell any text, or too many."""

    def __init__(self, own: str | None = None) -> None:
        """`own` is the operator's model, which is told from the start."""
        self._uses = {} if own is None else {own: ModelUse()}

    @property
    def by_name(self) -> Mapping[str, ModelUse]:
        return self._uses

    def add(self, call: ModelCalledObservation) -> None:
        """A call that was recorded."""
        use = self._of(call.model, answered=call.outcome is CallOutcome.ANSWERED)
        use.calls[call.outcome] += 1
        use.tokens["prompt"] += call.prompt_tokens
        use.tokens["completion"] += call.completion_tokens
        use.tokens["cache_read"] += call.cache_read_tokens
        use.tokens["cache_write"] += call.cache_write_tokens
        use.micro_dollars += call.micro_dollars or 0
        if call.outcome is CallOutcome.ANSWERED:
            use.seconds += call.latency

    def _of(self, name: str, *, answered: bool) -> ModelUse:
        """A name that is not told yet is told where the model has answered: else there may be no such model."""
        if name not in self._uses and (not answered or len(self._uses) >= MOST_MODELS or len(name) > LONGEST_MODEL):
            name = OTHER_MODELS
        return self._uses.setdefault(name, ModelUse())


class Measurements:
    """Everything counted since the process began."""

    def __init__(self, model: str | None = None) -> None:
        """`model` is the operator's."""
        self.appends = Histogram(APPEND_BOUNDS)
        """Seconds from an append's call until it is durable."""
        self.failed_appends = 0
        self.events = 0
        """Appended ones."""
        self.turns: Counter[str] = Counter()
        """Ended ones, by why they ended."""
        self.transients_lost = 0
        """Deltas and statuses that a follower was too slow for."""
        self.models = ModelUses(model)
        self.trajectories: Counter[str] = Counter()
        """Those that were saved elsewhere, and tries that failed."""
        self.loop_lag = Histogram(LAG_BOUNDS)
        """Seconds by which the event loop was late for a timer."""
