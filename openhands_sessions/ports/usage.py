"""What users have used, and what their quotas leave, as one caller may see it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from openhands_sessions.core.ids import OwnerId
from openhands_sessions.core.quotas import Quota, Share
from openhands_sessions.ports.accounts import AccountEntry

MOST_DAYS = 366


@dataclass(frozen=True, slots=True)
class QuotaState:
    """How much of a quota is taken today: used, or reserved by calls under way. `resets_at` is UTC."""

    quota: Quota
    taken: Share
    resets_at: datetime


@dataclass(frozen=True, slots=True)
class UsageReport:
    """The account of one user, by day, model and purpose, and the user's quotas."""

    user: OwnerId
    entries: Sequence[AccountEntry]
    quotas: Sequence[QuotaState]


class UsageReports(Protocol):
    """The reports that one caller may have."""

    async def report(self, user: OwnerId | None = None, *, days: int = 1) -> UsageReport:
        """Of a user, None for the caller: the newest `days`, UTC, today included, 1 to MOST_DAYS. Raises NotFound for
        another user where the caller is no operator, StorageError."""
