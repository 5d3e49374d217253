"""What one user may use of some models on one day, UTC. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from fnmatch import fnmatchcase

from openhands_sessions.core.errors import LimitReached
from openhands_sessions.core.money import MicroDollars, dollars_told


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

    def plus(self, other: "Share") -> "Share":
        """Both together."""
        return Share(
            tokens=self.tokens + other.tokens,
            micro_dollars=self.micro_dollars + other.micro_dollars,
            conversations=self.conversations + other.conversations,
        )


def check(quota: Quota, taken: Share, wanted: Share, day: date) -> None:
    """Raises LimitReached where what is left of the quota on this day is less than what is wanted."""
    if quota.conversations is not None and taken.conversations + wanted.conversations > quota.conversations:
        most = quota.conversations
        raise _reached(quota, day, f"{taken.conversations:,} of {most:,} conversations", "", most, taken.conversations)
    if quota.tokens is not None and taken.tokens + wanted.tokens > quota.tokens:
        used, needs = f"{taken.tokens:,} of {quota.tokens:,} tokens", f"about {wanted.tokens:,} tokens"
        raise _reached(quota, day, used, needs, quota.tokens, taken.tokens)
    if quota.micro_dollars is not None and taken.micro_dollars + wanted.micro_dollars > quota.micro_dollars:
        used = f"{dollars_told(taken.micro_dollars)} of {dollars_told(quota.micro_dollars)}"
        needs = f"about {dollars_told(wanted.micro_dollars)}"
        raise _reached(quota, day, used, needs, quota.micro_dollars, taken.micro_dollars)


def resets_at(day: date) -> datetime:
    """The midnight with which the day ends, UTC."""
    return datetime.combine(day + timedelta(days=1), time(), UTC)


def covering(quotas: Sequence[Quota], model: str) -> Sequence[Quota]:
    """Those that a call of this model counts for."""
    return [quota for quota in quotas if quota.covers(model)]


def _reached(quota: Quota, day: date, used: str, needs: str, limit: int, count: int) -> LimitReached:
    which = "all models" if quota.models == "*" else f"the models {quota.models}"
    call = f", and this call needs {needs}" if needs else ""
    text = (
        f"Your quota of today for {which} is taken: {used} are used or reserved{call}. It begins anew at"
        f" {resets_at(day):%Y-%m-%d %H:%M} UTC."
    )
    return LimitReached(text, limit=limit, count=count)
