"""The quotas of a storm, and what must be true of its accounts."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from openhands_sessions.config.lists import QuotaSection
from openhands_sessions.core.ids import LOCAL_OWNER
from openhands_sessions.core.quotas import Quota
from tests.support.in_process_server import InProcessServer

PLENTY = QuotaSection(models="scripted:*", tokens=10**9)
SCARCE = QuotaSection(models="scripted:gale", tokens=20_000)
"""Is taken after a while, so that calls of this model are refused."""
OVERRUN = 20_000
"""Tokens by which calls may exceed what they were estimated to take."""


def overrun(quotas: Sequence[Any]) -> bool:
    """Whether more is taken of a quota than calls that began below its limit may take."""
    return not all(0 <= each["taken"]["tokens"] <= each["limit"]["tokens"] + OVERRUN for each in quotas)


async def check_accounts(served: InProcessServer) -> set[str]:
    """When all has ended nothing is reserved: of each quota as much is taken as calls have used. Returns what the calls
    were for."""
    accounts, today = served.house.store.accounts, datetime.now(UTC).date()
    quotas = [Quota(models=each.models, tokens=each.tokens) for each in (PLENTY, SCARCE)]
    entries = await accounts.entries(LOCAL_OWNER, today - timedelta(days=1), today)
    for day in (today - timedelta(days=1), today):
        used = [entry for entry in entries if entry.day == day]
        for quota, taken in zip(quotas, await accounts.taken(LOCAL_OWNER, day, quotas), strict=True):
            covered = [entry for entry in used if quota.covers(entry.model)]
            assert taken.tokens == sum(entry.prompt_tokens + entry.completion_tokens for entry in covered)
    return {entry.purpose for entry in entries}
