"""What one user may use of some models on one day, UTC. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from fnmatch import fnmatchcase

from openhands_sessions.core.errors import LimitReached
from openhands_sessions.core.money import MicroDollars, dollars_told

_TOLD: Mapping[str, Callable[[int], str]] = {
    "conversations": "{:,} conversations".format,
    "tokens": "{:,} tokens".format,
    "micro_dollars": dollars_told,
}
"""How amounts of each kind are told to people."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Quota:
    """What models whose names match `models`, a pattern with `*`, `?` and `[…]`, may take of one user on one day; None:
    no limit. A conversation counts once a day, with its first call."""

    models: str = "*"
    tokens: int | None = None
    micro_dollars: MicroDollars | None = None
    conversations: int | None = None

    def covers(self, model: str) -> bool:
        return fnmatchcase(model, self.models)

    @property
    def estimates(self) -> bool:
        """Whether it matters what a call is going to use."""
        return self.tokens is not None or self.micro_dollars is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """A part of a quota: what calls have taken, or are to take."""

    tokens: int = 0
    micro_dollars: MicroDollars = 0
    conversations: int = 0


def check(quota: Quota, taken: Share, wanted: Share, day: date) -> None:
    """Raises LimitReached where what is left of the quota on this day is less than what is wanted."""
    for name, told in _TOLD.items():
        most, count, more = getattr(quota, name), getattr(taken, name), getattr(wanted, name)
        if most is None or count + more <= most:
            continue
        which = "all models" if quota.models == "*" else f"the models {quota.models}"
        needs = "" if name == "conversations" else f", and this call needs about {told(more)}"
        text = (
            f"Your quota of today for {which} is taken: {told(count)} of {told(most)} are used or reserved{needs}. It"
            f" begins anew at {resets_at(day):%Y-%m-%d %H:%M} UTC."
        )
        raise LimitReached(text, limit=most, count=count)


def resets_at(day: date) -> datetime:
    """The midnight with which the day ends, UTC."""
    return datetime.combine(day + timedelta(days=1), time(), UTC)


def covering(quotas: Sequence[Quota], model: str) -> Sequence[Quota]:
    """Those that a call of this model counts for."""
    return [quota for quota in quotas if quota.covers(model)]
