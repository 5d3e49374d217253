"""A command that holds a secret's value runs with it or not at all, though the log has only its mask."""

from collections.abc import Sequence

import pytest

from openhands_sessions.core.commands import Answer
from openhands_sessions.core.events.actions import RunAction
from openhands_sessions.core.events.event import Event
from openhands_sessions.core.events.observations import NOT_RUN_ID, ErrorObservation, RunObservation
from openhands_sessions.core.masking import MASK
from openhands_sessions.ports.store import SessionStore
from tests.fakes.model import FakeModel, FakeReply
from tests.fakes.store import MortalStore
from tests.support.session_harness import SessionHarness, ask, only, runs, say, says, state

SECRET = "hunter2-hunter2"
COMMAND = f"echo {SECRET} >> kept; echo ran"
ASKED = "awaiting_user_confirmation"
YES = Answer(confirmed=True)


def scene(store: SessionStore, *replies: FakeReply, confirm: bool = True) -> SessionHarness:
    secrets = {"TOKEN": {"value": SECRET, "description": ""}}
    return SessionHarness(
        store=store, model=FakeModel(replies), settings={"custom_secrets": secrets, "confirmation_mode": confirm}
    )


def refused(events: Sequence[Event]) -> str:
    [problem] = only(events, ErrorObservation)
    assert problem.error_id == NOT_RUN_ID
    return problem.content


async def test_it_runs_as_it_was_asked_for_once_it_is_confirmed(store: SessionStore) -> None:
    harness = scene(store, runs(COMMAND), says("Done."))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        answered = await session.submit(YES)
        await state(session, "awaiting_user_input", answered.id)
        assert session.runtime is not None
        assert await session.runtime.files.read("kept") == f"{SECRET}\n".encode()
    events = await harness.events()
    assert {action.command for action in only(events, RunAction)} == {COMMAND.replace(SECRET, MASK)}
    assert [ran.content for ran in only(events, RunObservation)] == ["ran\n"]


async def test_the_next_server_does_not_run_what_it_does_not_know(store: SessionStore) -> None:
    harness = scene(store, runs(COMMAND), says("Done."))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
    async with harness.live() as session:
        answered = await session.submit(YES)
        await state(session, "awaiting_user_input", answered.id)
        assert session.runtime is not None
        assert await session.runtime.files.list() == []
    assert "$NAME" in refused(await harness.events())


async def test_one_that_was_never_begun_is_not_run_by_the_next_server(store: SessionStore) -> None:
    harness = scene(store, runs(COMMAND), says("Done."), confirm=False)
    async with harness.killed(MortalStore(store, dies_at=4, stored=True)) as session:
        await say(session, "go")
    async with harness.live() as session:
        await state(session, "awaiting_user_input", 5)
    assert refused(await harness.events())


@pytest.mark.parametrize("confirm", [False, True])
async def test_a_mask_that_the_model_copied_is_not_taken_for_a_value(store: SessionStore, confirm: bool) -> None:
    harness = scene(store, runs(f"echo {MASK} >> kept"), says("Done."), confirm=confirm)
    async with harness.live() as session:
        if confirm:
            await ask(session, "go", ASKED)
            answered = await session.submit(YES)
            await state(session, "awaiting_user_input", answered.id)
        else:
            await ask(session, "go")
        assert session.runtime is not None
        assert await session.runtime.files.list() == []
    assert refused(await harness.events())


async def test_what_only_looks_like_a_key_runs_as_it_was_asked_for_and_not_on_the_next_server(
    store: SessionStore,
) -> None:
    """No value is known to be secret here: the form of the token is enough."""
    token = "ghp_" + "a1B2c3D4e5F6" * 3
    harness = SessionHarness(store=store, model=FakeModel([runs(f"echo {token} >> kept"), says("Done.")]))
    async with harness.live() as session:
        await ask(session, "go")
        assert session.runtime is not None
        assert await session.runtime.files.read("kept") == f"{token}\n".encode()
    assert [action.command for action in only(await harness.events(), RunAction)] == [f"echo {MASK} >> kept"]
    other = SessionHarness(store=store, model=FakeModel([runs(f"echo {MASK} >> kept"), says("Done.")]))
    async with other.live() as session:
        await ask(session, "again")
    assert refused(await harness.events())
