"""The name of a branch goes, what was said on it stays in the log."""

import asyncio

import pytest

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.branches import BranchDeletedObservation
from openhands_sessions.core.history_commands import DeleteBranch, SwitchBranch, Undo
from openhands_sessions.core.lineage import MAIN
from openhands_sessions.ports.store import SessionStore
from tests.fakes.model import FakeModel, FakeReply
from tests.support.history_steps import do, messages_of_user, move_history
from tests.support.session_harness import SessionHarness, ask, only, says


def scene(store: SessionStore, *replies: FakeReply) -> SessionHarness:
    return SessionHarness(store=store, model=FakeModel(replies), settings={})


async def test_a_branch_is_deleted_also_while_a_turn_runs_and_its_name_can_be_given_again(
    store: SessionStore, gate: asyncio.Event
) -> None:
    harness = scene(store, says("zero!"), says("one!"), FakeReply(text="two!", hold=gate))
    async with harness.live() as session:
        await ask(session, "zero")
        await ask(session, "one")
        await move_history(session, Undo(branch="old"))
        asked = asyncio.create_task(ask(session, "two"))
        await harness.model.asked(3)
        await do(session, DeleteBranch(branch="old"))
        assert [one.name for one in session.event_stream.view.lineage.branches] == []
        gate.set()
        await asked
        with pytest.raises(BadInput, match="'old' is unknown: there is none"):
            await move_history(session, SwitchBranch(branch="old"))
        await move_history(session, Undo(branch="old"))
        assert [one.name for one in session.event_stream.view.lineage.branches] == ["old"]
    [deleted] = only(await harness.events(), BranchDeletedObservation)
    assert (deleted.name, deleted.author) == ("old", "ada")
    assert "one" in [event.content for event in messages_of_user(await harness.events())]


async def test_main_and_the_branch_that_the_dialogue_is_on_are_not_deleted(store: SessionStore) -> None:
    harness = scene(store, says("zero!"), says("one!"))
    async with harness.live() as session:
        await ask(session, "zero")
        await ask(session, "one")
        await move_history(session, Undo(branch="old"))
        await move_history(session, SwitchBranch(branch="old"))
        head = session.event_stream.view.head
        for name, problem in ((MAIN, "began on"), ("old", "is on"), ("x", "'x' is unknown; there are 'main'")):
            with pytest.raises(BadInput, match=problem) as refused:
                await do(session, DeleteBranch(branch=name))
            assert refused.value.field == "branch"
        assert session.event_stream.view.head == head
