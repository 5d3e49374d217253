"""What every Sharing keeps, here or on another server."""

import pytest

from openhands_sessions.core.errors import BadInput, NotFound
from openhands_sessions.core.ids import OwnerId
from openhands_sessions.core.permissions import Permission
from tests.support.gateway_kinds import SID, Kind, new


async def test_links_are_made_listed_and_revoked_alike_from_here_and_from_afar(kind: Kind) -> None:
    sharing = kind.sharing
    for asked in (sharing.shares(SID), sharing.new_link(SID, Permission.VIEW, 60), sharing.revoke_link(SID, "x")):
        with pytest.raises(NotFound):
            await asked
    await new(kind.gateway)
    view = await sharing.new_link(SID, Permission.VIEW, 60.0)
    write = await sharing.new_link(SID, Permission.WRITE, 3_600.0)
    assert await sharing.shares(SID) == [view.share, write.share]
    assert (view.share.permission, write.share.permission) == (Permission.VIEW, Permission.WRITE)
    assert write.share.expires_at is not None
    assert (write.share.expires_at - write.share.created_at).total_seconds() == 3_600
    assert view.token != write.token
    await sharing.revoke_link(SID, view.share.grantee.name)
    assert await sharing.shares(SID) == [write.share]
    with pytest.raises(NotFound):
        await sharing.revoke_link(SID, view.share.grantee.name)


@pytest.mark.parametrize("seconds", [0.0, 59.0, -60.0, 400 * 24 * 3_600.0, float("nan"), float("inf")])
async def test_a_link_lasts_a_minute_to_a_year(kind: Kind, seconds: float) -> None:
    await new(kind.gateway)
    with pytest.raises(BadInput, match="hours"):
        await kind.sharing.new_link(SID, Permission.VIEW, seconds)
    assert await kind.sharing.shares(SID) == []


async def test_nothing_that_stays_the_owners_can_be_allowed(kind: Kind) -> None:
    await new(kind.gateway)
    with pytest.raises(BadInput, match="permission"):
        await kind.sharing.new_link(SID, Permission.OWN, 60.0)
    with pytest.raises(BadInput, match="permission"):
        await kind.sharing.grant(SID, OwnerId("vera"), Permission.OWN)


async def test_where_all_callers_are_one_user_only_links_let_others_in(kind: Kind) -> None:
    await new(kind.gateway)
    with pytest.raises(BadInput, match="make a link"):
        await kind.sharing.grant(SID, OwnerId("vera"), Permission.VIEW)
    with pytest.raises(NotFound):
        await kind.sharing.revoke(SID, OwnerId("vera"))
