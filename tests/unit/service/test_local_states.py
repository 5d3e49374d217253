"""Whose states a caller sees and changes, and that no secret gets into them."""

import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from openhands_sessions.core.errors import Forbidden, NotFound, RevisionConflict, TooLarge
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.core.masking import SecretMasker
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


async def test_a_refused_change_leaves_no_file_and_one_that_comes_again_is_answered(house: ServiceLayer) -> None:
    await house.open("talk", ADA)
    states = house.of(ADA).states
    await states.change(SESSION, change("x" * 100_000))
    again = await states.change(SESSION, replace(change("x" * 100_000), bases={"k": 0}))
    assert again.revision == 1
    kept = await house.files.list("conversations")
    refused = replace(change("y" * 100_000), id="two", bases={"k": 0})
    with pytest.raises(RevisionConflict) as raised:
        await states.change(SESSION, refused)
    assert raised.value.key == "k"
    full = (*refused.operations, *(StateOperation(StateOp.SET, f"k{number}", "x" * 65_000) for number in range(5)))
    with pytest.raises(TooLarge, match="262,144"):
        await states.change(SESSION, replace(refused, operations=full, bases={}))
    assert await house.files.list("conversations") == kept
    assert (await states.read(SESSION)).revision == 1


async def test_a_change_beyond_its_limit_is_refused(house: ServiceLayer) -> None:
    await house.open("talk", ADA)
    one = StateOperation(StateOp.APPEND, "k", "x" * 60_000)
    with pytest.raises(TooLarge, match="1,048,576"):
        await house.of(ADA).states.change(SESSION, replace(change(), operations=(one,) * 20))


async def test_the_loop_goes_on_while_many_texts_are_searched_for_secrets(house: ServiceLayer) -> None:
    await house.open("talk", ADA)
    seen: list[bool] = []
    masked = SecretMasker.text

    def text(self: SecretMasker, given: str) -> str:
        seen.append(threading.current_thread() is threading.main_thread())
        return masked(self, given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SecretMasker, "text", text)
        await house.of(ADA).states.change(SESSION, change(["short"] * 1_000))
    assert len(seen) >= 1_000
    assert not any(seen)


async def test_an_expected_secret_is_masked_as_a_value_is(house: ServiceLayer) -> None:
    await house.open("talk", ADA)
    token = "ghp_" + "x1" * 18
    operations = (StateOperation(StateOp.DELETE, "k"), StateOperation(StateOp.COMPARE_AND_SET, "k", 1, expected=token))
    with pytest.raises(RevisionConflict) as raised:
        await house.of(ADA).states.change(SESSION, replace(change(), operations=operations))
    assert token not in str(raised.value.base)
