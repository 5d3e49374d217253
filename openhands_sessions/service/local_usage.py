"""The usage reports of one caller, from this process's own store."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from openhands_sessions.core.errors import BadInput, NotFound
from openhands_sessions.core.ids import OwnerId
from openhands_sessions.core.quotas import Quota, resets_at
from openhands_sessions.ports.access import Principal
from openhands_sessions.ports.accounts import Accounts
from openhands_sessions.ports.usage import MOST_DAYS, QuotaState, UsageReport


class LocalUsage:
    """A UsageReports."""

    def __init__(
        self, accounts: Accounts, quotas: Sequence[Quota], clock: Callable[[], datetime], principal: Principal
    ) -> None:
        self._accounts = accounts
        self._quotas = quotas
        self._clock = clock
        self._principal = principal

    async def report(self, user: OwnerId | None = None, *, days: int = 1) -> UsageReport:
        whose = self._principal.owner if user is None else user
        if whose != self._principal.owner and not self._principal.watches:
            raise NotFound("user", whose)
        if not 1 <= days <= MOST_DAYS:
            raise BadInput("days", f"must be from 1 to {MOST_DAYS}")
        today = self._clock().date()
        entries = await self._accounts.entries(whose, today - timedelta(days=days - 1), today)
        taken = await self._accounts.taken(whose, today, self._quotas)
        states = [QuotaState(*each, resets_at(today)) for each in zip(self._quotas, taken, strict=True)]
        return UsageReport(whose, entries, states)
