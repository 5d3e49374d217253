"""Who may see what users have used."""

from functools import partial

import pytest

from openhands_sessions.core.errors import BadInput, NotFound
from openhands_sessions.core.ids import OwnerId
from openhands_sessions.core.quotas import Quota, Share
from openhands_sessions.ports.access import Principal, Role
from openhands_sessions.ports.accounts import ReservedShare
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.service.local_usage import LocalUsage
from tests.support.store_entries import NOW, TALK

ADA, BOB = OwnerId("ada"), OwnerId("bob")
QUOTAS = (Quota(tokens=100), Quota(models="x/*", micro_dollars=5))


def usage_of(store: SessionStore, owner: OwnerId, role: Role = Role.USER) -> LocalUsage:
    return partial(LocalUsage, store.accounts, QUOTAS, lambda: NOW)(Principal(owner=owner, role=role))


async def test_a_user_sees_their_own_quotas_and_nobody_elses(store: SessionStore) -> None:
    share = Share(tokens=7, micro_dollars=3)
    wanted = ReservedShare(sid=TALK, number=1, user=ADA, day=NOW.date(), model="x/y", share=share)
    await store.accounts.reserve(wanted, QUOTAS)
    for report in (await usage_of(store, ADA).report(), await usage_of(store, BOB, Role.OPERATOR).report(ADA)):
        assert report.user == ADA
        assert [state.taken for state in report.quotas] == [share, share]
    assert [state.taken for state in (await usage_of(store, BOB).report()).quotas] == [Share(), Share()]
    for stranger in (ADA, OwnerId("nobody")):
        with pytest.raises(NotFound, match=f"user '{stranger}' not found"):
            await usage_of(store, BOB).report(stranger, days=0)


@pytest.mark.parametrize("days", [0, -1, 367])
async def test_the_days_are_bounded(store: SessionStore, days: int) -> None:
    with pytest.raises(BadInput, match="days must be from 1 to 366"):
        await usage_of(store, ADA).report(days=days)
