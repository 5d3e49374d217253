"""What became of an action that an earlier server had begun is told truthfully, and nothing runs twice."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from openhands_sessions.core.commands import Stop
from openhands_sessions.core.events.actions import BrowseAction, RunAction, ThinkAction
from openhands_sessions.core.events.event import Action, Event, Source, ToolCall
from openhands_sessions.core.events.observations import (
    NOT_RUN_ID,
    STOPPED_ID,
    TOOL_FAILED_ID,
    UNKNOWN_OUTCOME_ID,
    ErrorObservation,
    RunObservation,
)
from openhands_sessions.ports.store import SessionStore
from tests.fakes.model import FakeCall, FakeModel, FakeReply
from tests.fakes.runtime import FakeRuntimes
from tests.fakes.sandbox import FarRuntimes
from tests.fakes.store import MortalStore
from tests.support.session_harness import SessionHarness, ask, only, rest, runs, say, says, state, until
from tests.support.store_entries import TALK


async def cut_off(harness: SessionHarness, store: SessionStore, *, began: bool) -> None:
    """A server that dies after it has recorded an action, before or after the sandbox has begun it."""
    mortal = MortalStore(store, dies_at=5 if began else 4, stored=not began)
    async with harness.killed(mortal) as session:
        leaving = asyncio.create_task(say(session, "go"))
        if began:
            await until(session, lambda event: isinstance(event, RunAction))
            await rest()
            mortal.dead.set()
        await mortal.dead.wait()
        leaving.cancel()
        await asyncio.wait([leaving])


async def observations(harness: SessionHarness) -> Sequence[Event]:
    events = await harness.events()
    [action] = only(events, RunAction)
    return [event for event in events if event.cause == action.id]


async def test_a_command_that_still_runs_is_adopted_and_its_one_result_arrives(
    store: SessionStore, gate: asyncio.Event
) -> None:
    runtimes = FakeRuntimes({"wait": ("out", 0)}, {"wait": gate})
    harness = SessionHarness(store=store, model=FakeModel([runs("wait"), says("Done.")]), runtimes=runtimes)
    await cut_off(harness, store, began=True)
    async with harness.live() as session:
        await rest()
        assert session.busy
        gate.set()
        await state(session, "awaiting_user_input", 5)
    [observation] = await observations(harness)
    assert isinstance(observation, RunObservation)
    assert observation.content == "out"


async def test_a_command_that_ended_while_no_server_was_there_has_its_result(
    store: SessionStore, gate: asyncio.Event
) -> None:
    runtimes = FakeRuntimes({"wait": ("out", 3)}, {"wait": gate})
    harness = SessionHarness(store=store, model=FakeModel([runs("wait"), says("Done.")]), runtimes=runtimes)
    await cut_off(harness, store, began=True)
    gate.set()
    await rest()
    async with harness.live() as session:
        await state(session, "awaiting_user_input", 5)
    [observation] = await observations(harness)
    assert isinstance(observation, RunObservation)
    assert observation.metadata.exit_code == 3


async def test_a_command_that_was_never_begun_is_run_now(store: SessionStore) -> None:
    harness = SessionHarness(store=store, model=FakeModel([runs("echo 1"), says("Done.")]))
    await cut_off(harness, store, began=False)
    async with harness.live() as session:
        await state(session, "awaiting_user_input", 5)
    [observation] = await observations(harness)
    assert isinstance(observation, RunObservation)
    assert observation.content == "1\n"


async def test_a_command_whose_sandbox_was_lost_has_an_unknown_outcome_and_is_not_run_again(
    store: SessionStore, gate: asyncio.Event
) -> None:
    runtimes = FakeRuntimes({"wait": ("out", 0)}, {"wait": gate})
    harness = SessionHarness(store=store, model=FakeModel([runs("wait"), says("I look.")]), runtimes=runtimes)
    await cut_off(harness, store, began=True)
    await runtimes.lose(TALK)
    async with harness.live() as session:
        await state(session, "awaiting_user_input", 5)
    [observation] = await observations(harness)
    assert isinstance(observation, ErrorObservation)
    assert observation.error_id == UNKNOWN_OUTCOME_ID
    assert str(harness.model.requests[1].messages[-1]["content"]) == observation.content


async def test_a_sandbox_that_cannot_be_asked_ends_the_turn_with_an_unknown_outcome(
    store: SessionStore, gate: asyncio.Event
) -> None:
    runtimes = FarRuntimes(FakeRuntimes({"wait": ("out", 0)}, {"wait": gate}))
    harness = SessionHarness(store=store, model=FakeModel([runs("wait"), says("Back.")]), runtimes=runtimes)
    await cut_off(harness, store, began=True)
    runtimes.cut.set()
    async with harness.live() as session:
        await state(session, "error", 5)
        runtimes.cut.clear()
        await ask(session, "again")
        gate.set()
    [observation] = await observations(harness)
    assert isinstance(observation, ErrorObservation)
    assert observation.error_id == UNKNOWN_OUTCOME_ID
    assert "turn ended: error" in await harness.told()


@pytest.mark.parametrize(
    ("action", "error_id"),
    [(BrowseAction(url="x", source=Source.AGENT), NOT_RUN_ID), (ThinkAction(thought="hm", source=Source.AGENT), None)],
)
async def test_open_actions_of_any_kind_are_brought_to_an_end(
    store: SessionStore, action: Action, error_id: str | None
) -> None:
    """As a log has them that another version, with other tools, began."""
    harness = SessionHarness(store=store, model=FakeModel([says("Hello."), says("On.")]))
    async with harness.live() as session:
        await ask(session, "hi")
        await session.event_stream.append(action)
        await ask(session, "go on")
    errors = [error.error_id for error in only(await harness.events(), ErrorObservation)]
    assert errors == ([] if error_id is None else [error_id])


async def test_a_stop_brings_them_to_an_end_too(store: SessionStore) -> None:
    call = ToolCall(function_name="think", tool_call_id="c", arguments="{}")
    harness = SessionHarness(store=store, model=FakeModel([says("Hello.")]))
    async with harness.live() as session:
        await ask(session, "hi")
        await session.event_stream.append(ThinkAction(thought="hm", tool_call_metadata=call), BrowseAction(url="x"))
        await session.submit(Stop())
    errors = only(await harness.events(), ErrorObservation)
    assert [error.error_id for error in errors] == [STOPPED_ID, STOPPED_ID]
    assert (await harness.told())[-1] == "state stopped"


async def test_what_the_sandbox_refuses_is_a_result_like_any_other(store: SessionStore) -> None:
    call = FakeCall("str_replace_editor", {"command": "view", "path": "/etc/passwd"})
    harness = SessionHarness(store=store, model=FakeModel([FakeReply(calls=[call]), says("I see.")]))
    async with harness.live() as session:
        await ask(session, "go")
    [error] = only(await harness.events(), ErrorObservation)
    assert error.error_id == TOOL_FAILED_ID


@pytest.mark.parametrize(("given", "limit"), [({}, 120.0), ({"timeout": 3}, 3.0)])
async def test_a_command_has_the_limit_that_the_agent_names_or_that_of_the_settings(
    store: SessionStore, given: dict[str, Any], limit: float
) -> None:
    runtimes = FarRuntimes(FakeRuntimes())
    call = FakeCall("execute_bash", {"command": "echo 1", **given})
    harness = SessionHarness(store=store, model=FakeModel([FakeReply(calls=[call]), says("Ok.")]), runtimes=runtimes)
    async with harness.live() as session:
        await ask(session, "go")
    assert [getattr(task, "timeout", None) for task in runtimes.tasks] == [limit]
