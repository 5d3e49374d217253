"""Every end of a turn has a reason that users can tell apart."""

import asyncio
from typing import Any

import pytest

from openhands_sessions.core.errors import ModelFailure
from openhands_sessions.core.events.event import AgentState
from openhands_sessions.core.events.observations import (
    NOT_RUN_ID,
    UNKNOWN_OUTCOME_ID,
    AgentStateChangedObservation,
    ErrorObservation,
)
from openhands_sessions.core.events.own import StopReason, TurnEndedObservation
from openhands_sessions.ports.model import Usage
from openhands_sessions.ports.store import SessionStore
from tests.fakes.model import FakeCall, FakeModel, FakeReply
from tests.fakes.runtime import FakeRuntimes
from tests.fakes.sandbox import FarRuntimes
from tests.support.session_harness import (
    SessionHarness,
    ask,
    finishes,
    only,
    outline,
    rest,
    runs,
    say,
    says,
    state,
    until,
)
from tests.support.store_entries import TALK


def scene(store: SessionStore, *replies: FakeReply, **settings: Any) -> SessionHarness:
    return SessionHarness(store=store, model=FakeModel(replies), settings=settings)


async def reasons(harness: SessionHarness) -> list[StopReason]:
    return [one.stop_reason for one in only(await harness.events(), TurnEndedObservation)]


async def text_of_error(harness: SessionHarness) -> str:
    states = only(await harness.events(), AgentStateChangedObservation)
    return next(one.reason for one in reversed(states) if one.agent_state is AgentState.ERROR)


@pytest.mark.parametrize(
    ("reply", "last", "reason"),
    [
        (says("Hello."), "awaiting_user_input", StopReason.WAITING),
        (finishes(), "finished", StopReason.DONE),
        (FakeReply(fail=ModelFailure("STATUS$ERROR", "no")), "error", StopReason.ERROR),
    ],
)
async def test_done_waiting_and_error(store: SessionStore, reply: FakeReply, last: str, reason: StopReason) -> None:
    harness = scene(store, reply)
    async with harness.live() as session:
        await ask(session, "go", last)
    assert await reasons(harness) == [reason]


async def test_waiting_for_an_answer(store: SessionStore) -> None:
    harness = scene(store, runs("ls"), confirmation_mode=True)
    async with harness.live() as session:
        await ask(session, "go", "awaiting_user_confirmation")
    assert await reasons(harness) == [StopReason.APPROVAL]


async def test_max_iterations(store: SessionStore) -> None:
    harness = scene(store, *[runs(f"echo {n}") for n in range(3)], says("There."), max_iterations=3)
    async with harness.live() as session:
        await ask(session, "go", "error")
        assert len(harness.model.requests) == 3
        await ask(session, "continue")
    assert await reasons(harness) == [StopReason.MAX_ITERATIONS, StopReason.WAITING]
    assert (await text_of_error(harness)).startswith("Agent reached maximum iterations")
    assert [one.iterations for one in only(await harness.events(), TurnEndedObservation)] == [3, 1]


async def test_max_cost(store: SessionStore) -> None:
    dear = Usage(cost=400_000)
    replies = [FakeReply(calls=runs(f"echo {n}").calls, usage=dear) for n in range(3)]
    harness = scene(store, *replies, FakeReply(text="There.", usage=dear), max_budget_per_task=1.0)
    async with harness.live() as session:
        await ask(session, "go", "error")
        assert len(harness.model.requests) == 3
        await ask(session, "continue")
    assert await reasons(harness) == [StopReason.MAX_COST, StopReason.WAITING]
    assert (await text_of_error(harness)).startswith("Agent reached maximum budget")


async def test_a_message_that_comes_as_the_budget_runs_out_has_a_budget_of_its_own(
    store: SessionStore, gate: asyncio.Event
) -> None:
    dear = Usage(cost=2_000_000)
    calls = [FakeCall("execute_bash", {"command": "true"})]
    replies = [FakeReply(calls=calls, usage=dear, hold=gate), FakeReply(text="There.", usage=dear)]
    harness = scene(store, *replies, max_budget_per_task=1.0)
    async with harness.live() as session:
        first = await say(session, "one")
        await harness.model.asked(1)
        await say(session, "two")
        gate.set()
        await state(session, "awaiting_user_input", first.id)
    assert await reasons(harness) == [StopReason.MAX_COST, StopReason.WAITING]
    assert (await harness.told())[-3] == "agent: There."


async def test_a_sandbox_that_is_lost_while_a_command_runs_leaves_its_outcome_unknown(
    store: SessionStore, gate: asyncio.Event
) -> None:
    runtimes = FakeRuntimes({"wait": ("", 0)}, {"wait": gate})
    harness = SessionHarness(store=store, model=FakeModel([runs("wait"), says("I see.")]), runtimes=runtimes)
    async with harness.live() as session:
        accepted = await say(session, "go")
        await until(session, lambda event: event.KIND == "run", accepted.id)
        await rest()
        await runtimes.lose(TALK)
        await state(session, "awaiting_user_input", accepted.id)
    [error] = only(await harness.events(), ErrorObservation)
    assert error.error_id == UNKNOWN_OUTCOME_ID
    assert "unknown" in str(harness.model.requests[1].messages[-1]["content"])


@pytest.mark.parametrize("answers", [True, False])
async def test_a_sandbox_that_cannot_be_reached_ends_the_turn_and_says_that_nothing_was_run(
    store: SessionStore, answers: bool
) -> None:
    runtimes = FarRuntimes(FakeRuntimes())
    harness = SessionHarness(
        store=store, model=FakeModel([runs("echo 1"), runs("echo 2"), says("Better.")]), runtimes=runtimes
    )
    async with harness.live() as session:
        runtimes.cut.set()
        runtimes.answers = answers
        last = await ask(session, "go", "error")
        runtimes.cut.clear()
        await ask(session, "again")
    events = await harness.events()
    [error] = only(events, ErrorObservation)
    assert error.error_id == NOT_RUN_ID
    assert outline(events[:last])[-3:] == ["run echo 1 (confirmed)", f"error {NOT_RUN_ID}", "turn ended: error"]
    assert outline(events)[-4:-2] == ["ran echo 2: 2\n [0]", "agent: Better."]


@pytest.mark.parametrize("answers", [True, False])
async def test_a_command_whose_sandbox_went_out_of_reach_has_an_unknown_outcome(
    store: SessionStore, gate: asyncio.Event, answers: bool
) -> None:
    runtimes = FarRuntimes(FakeRuntimes({"wait": ("", 0)}, {"wait": gate}))
    harness = SessionHarness(store=store, model=FakeModel([runs("wait"), says("I see.")]), runtimes=runtimes)
    async with harness.live() as session:
        accepted = await say(session, "go")
        await until(session, lambda event: event.KIND == "run", accepted.id)
        await rest()
        runtimes.answers = answers
        runtimes.cut.set()
        await state(session, "awaiting_user_input", accepted.id)
        gate.set()
    [error] = only(await harness.events(), ErrorObservation)
    assert error.error_id == UNKNOWN_OUTCOME_ID


async def test_a_command_that_runs_behind_a_broken_connection_is_followed_again(
    store: SessionStore, gate: asyncio.Event
) -> None:
    runtimes = FarRuntimes(FakeRuntimes({"wait": ("waited", 0)}, {"wait": gate}))
    harness = SessionHarness(store=store, model=FakeModel([runs("wait"), says("I see.")]), runtimes=runtimes)
    async with harness.live() as session:
        accepted = await say(session, "go")
        await until(session, lambda event: event.KIND == "run", accepted.id)
        await rest()
        runtimes.answers = True
        runtimes.arrives.clear()
        runtimes.cut.set()
        await rest()
        runtimes.cut.clear()
        runtimes.arrives.set()
        gate.set()
        await state(session, "awaiting_user_input", accepted.id)
    assert "ran wait: waited [0]" in outline(await harness.events())
