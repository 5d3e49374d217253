"""Whose states a caller sees and changes, and that no secret gets into them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from openhands_sessions.core.errors import Forbidden, NotFound
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.core.permissions import Permission
from openhands_sessions.core.state import StateChange, StateOp, StateOperation
from openhands_sessions.ports.state import StateScope
from openhands_sessions.ports.store import SessionStore
from tests.support.service_layer import ServiceLayer, running_service

ADA, BOB = OwnerId("ada"), OwnerId("bob")
TALK = ConversationId("talk")
SESSION, APP = StateScope.session(TALK), StateScope("app", "shop")


@pytest.fixture
async def house(store: SessionStore) -> AsyncIterator[ServiceLayer]:
    async with running_service(ServiceLayer(store=store)) as made:
        yield made


def change(value: object = 1) -> StateChange:
    operation = StateOperation(StateOp.SET, "k", value)  # type: ignore[arg-type]
    return StateChange(id="one", operations=(operation,), actor="somebody else", timestamp=datetime.now(UTC))


async def test_a_guest_sees_the_state_of_what_is_shared_and_changes_it_where_it_may_write(house: ServiceLayer) -> None:
    await house.open("talk", ADA)
    with pytest.raises(NotFound):
        await house.of(BOB).states.read(SESSION)
    await house.of(ADA).sharing.grant(TALK, BOB, Permission.VIEW)
    assert (await house.of(BOB).states.read(SESSION)).values() == {}
    with pytest.raises(Forbidden):
        await house.of(BOB).states.change(SESSION, change())
    await house.of(ADA).sharing.grant(TALK, BOB, Permission.WRITE)
    await house.of(BOB).states.change(SESSION, change())
    [made] = await house.of(ADA).states.changes(SESSION, limit=2)
    assert made.change.actor == BOB


async def test_a_users_state_is_nobody_elses_and_who_has_a_link_sees_none(house: ServiceLayer) -> None:
    await house.open("talk", ADA)
    await house.of(ADA).states.change(StateScope.user(ADA), change())
    with pytest.raises(NotFound):
        await house.of(BOB).states.read(StateScope.user(ADA))
    link = await house.of(ADA).sharing.new_link(TALK, Permission.WRITE, 3_600)
    by_link = house.by_link(await house.links.read(link.token))
    assert (await by_link.states.read(SESSION)).values() == {}
    for scope in (StateScope.user(ADA), APP):
        with pytest.raises(NotFound):
            await by_link.states.read(scope)


async def test_where_users_are_told_apart_the_state_of_an_app_is_read_by_all_and_changed_by_operators(
    house: ServiceLayer,
) -> None:
    assert (await house.of(ADA).states.read(APP)).values() == {}
    with pytest.raises(Forbidden, match="operators"):
        await house.of(ADA).states.change(APP, change())


async def test_a_secret_is_masked_before_it_is_stored(house: ServiceLayer) -> None:
    await house.open("talk", ADA)
    token = "ghp_" + "x1" * 18
    await house.of(ADA).states.change(SESSION, change({"text": [f"use {token}"]}))
    assert token not in str(await house.of(ADA).states.read(SESSION))
    assert token not in str(await house.of(ADA).states.changes(SESSION, limit=2))
