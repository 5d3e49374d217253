"""Calls with a known price run without a question as far as the budget of their conversation reaches."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from openhands_sessions.core.commands import Answer, Decide, SetBudget, Stop
from openhands_sessions.core.events.budget import BudgetReservedAction, BudgetSetAction
from openhands_sessions.core.events.event import Event
from openhands_sessions.core.history_commands import Undo
from openhands_sessions.core.ids import OwnerId
from openhands_sessions.ports.mcp import McpDone
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.agent_session import AgentSession
from openhands_sessions.session.idempotency import IdempotencyKey
from tests.fakes.mcp import FakeMcp
from tests.fakes.model import FakeCall, FakeModel, FakeReply
from tests.fakes.store import HeldLog, MortalStore
from tests.support.log_invariant import check_log
from tests.support.session_harness import SessionHarness, ask, only, runs, say, says, state, until
from tests.support.store_entries import TALK

ASKED, WAITS = "awaiting_user_confirmation", "awaiting_user_input"
PRICES: list[dict[str, Any]] = [
    {"tool": "execute_bash", "pattern": "echo dear*", "dollars": 3},
    {"tool": "execute_bash", "pattern": "echo cheap*", "dollars": 1},
    {"tool": "execute_bash", "pattern": "echo daily*", "recurring": True},
]


def scene(store: SessionStore, *replies: FakeReply, budget: float = 4, **settings: Any) -> SessionHarness:
    given = {"confirmation_mode": True, "call_prices": PRICES, "auto_approval_budget": budget, **settings}
    return SessionHarness(store=store, model=FakeModel(replies), settings=given)


def amounts(session: AgentSession) -> tuple[float, float, float]:
    """Spent, reserved and left, in dollars."""
    budget = session.event_stream.view.budget
    return budget.spent / 1e6, budget.held / 1e6, budget.rest / 1e6


async def ran(harness: SessionHarness) -> list[str]:
    return [line.split(": ")[0].removeprefix("ran echo ") for line in await harness.told() if line.startswith("ran")]


async def asked(harness: SessionHarness) -> int:
    """How many calls the user was asked about."""
    return sum("awaiting_confirmation" in line or line == "approval_requested" for line in await harness.told())


async def test_a_call_whose_price_fits_runs_and_one_that_does_not_asks(store: SessionStore) -> None:
    harness = scene(store, runs("echo dear"), runs("echo dear"), says("Done."))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        assert await ran(harness) == ["dear"]
        assert amounts(session) == (3, 0, 1)
        yes = await session.submit(Answer(confirmed=True))
        await state(session, WAITS, yes.id)
        assert await ran(harness) == ["dear", "dear"]
        assert amounts(session) == (3, 0, 1)  # what the user approves is not the budget's
    check_log(await harness.events())


async def test_a_budget_that_is_lowered_just_before_a_call_counts_for_it(store: SessionStore) -> None:
    answer = asyncio.Event()
    harness = scene(store, replace(runs("echo dear"), hold=answer), says("Done."))
    log, mortal = HeldLog(store.log(TALK), holds=False), MortalStore(store, dies_at=-1, stored=True)
    mortal.logs[TALK] = log
    async with harness.live(mortal) as session:
        talking = asyncio.create_task(ask(session, "go", ASKED))
        await harness.model.asked(1)
        log.holds = True
        lowering = asyncio.create_task(session.submit(SetBudget(1_000_000)))
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(log) == 1
        answer.set()
        for _ in range(20):  # the reply is taken up as far as it can be
            await asyncio.sleep(0)
        log.holds = False
        while len(log):
            await log.release()
        await lowering
        await talking
        assert amounts(session) == (0, 0, 1)
    assert await ran(harness) == []
    check_log(await harness.events())


async def test_a_reservation_is_one_append_with_the_action_that_it_lets_run(store: SessionStore) -> None:
    harness = scene(store, runs("echo cheap"), says("Done."))
    appends: list[list[str]] = []
    async with harness.live() as session:
        written = session.event_stream.append

        def noting(*events: Event, **more: Any) -> Any:
            appends.append([event.KIND for event in events])
            return written(*events, **more)

        session.event_stream.append = noting  # type: ignore[method-assign]
        await ask(session, "go")
    assert ["budget_reserved", "run"] in appends


@pytest.mark.parametrize("command", ["echo unknown", "echo daily"])
async def test_an_unknown_price_and_recurring_work_ask(store: SessionStore, command: str) -> None:
    harness = scene(store, runs(command), budget=1_000)
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        assert amounts(session) == (0, 0, 1_000)


@pytest.mark.parametrize("settings", [{"confirmation_mode": False}, {"confirmation_rules": [{"decision": "allow"}]}])
async def test_recurring_work_asks_also_where_nothing_else_does(store: SessionStore, settings: dict[str, Any]) -> None:
    harness = scene(store, runs("echo free"), runs("echo daily"), budget=0, **settings)
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        assert await ran(harness) == ["free"]


async def test_without_confirmation_mode_a_price_beyond_the_budget_asks_and_no_price_does_not(
    store: SessionStore,
) -> None:
    harness = scene(store, runs("echo free"), runs("echo dear"), confirmation_mode=False, budget=2)
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        assert await ran(harness) == ["free"]


async def test_a_recurring_price_for_the_rest_of_a_tool_asks_also_without_confirmation_mode(
    store: SessionStore,
) -> None:
    prices = [*PRICES, {"tool": "execute_bash", "recurring": True}]
    harness = scene(store, runs("echo cheap"), runs("echo unknown"), confirmation_mode=False, call_prices=prices)
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        assert await ran(harness) == ["cheap"]
        assert amounts(session) == (1, 0, 3)


async def test_rules_that_allow_and_deny_come_before_the_budget(store: SessionStore) -> None:
    rules = [{"pattern": "echo dear*", "decision": "allow"}, {"pattern": "echo cheap*", "decision": "deny"}]
    harness = scene(store, runs("echo dear"), runs("echo cheap"), says("Done."), budget=1, confirmation_rules=rules)
    async with harness.live() as session:
        await ask(session, "go")
        assert await ran(harness) == ["dear"]
        assert amounts(session) == (0, 0, 1)


async def test_two_calls_of_one_reply_cannot_exceed_the_budget_together(store: SessionStore) -> None:
    harness = scene(store, runs("echo dear 1", "echo dear 2", "echo cheap"), says("Done."))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        assert await ran(harness) == ["dear 1"]
        assert amounts(session) == (3, 1, 0)  # the third is reserved while the second waits
        [reserved] = only(await harness.events(), BudgetReservedAction)
        assert [one.micro_dollars for one in reserved.calls] == [3_000_000, 1_000_000]
        yes = await session.submit(Answer(confirmed=True))
        await state(session, WAITS, yes.id)
        assert await ran(harness) == ["dear 1", "dear 2", "cheap"]
        assert amounts(session) == (4, 0, 0)
    assert await asked(harness) == 1
    check_log(await harness.events())


@pytest.mark.parametrize("end", ["no", "message", "stop"])
async def test_what_waits_behind_a_question_is_free_again_when_the_turn_ends(store: SessionStore, end: str) -> None:
    harness = scene(store, runs("echo unknown", "echo dear"), says("Well."))
    async with harness.live() as session:
        before = await ask(session, "go", ASKED)
        assert amounts(session) == (0, 3, 1)
        match end:
            case "no":
                await session.submit(Answer(confirmed=False))
                await state(session, WAITS, before)
            case "message":
                await ask(session, "rather not")
            case _:
                await session.submit(Stop())
                await state(session, "stopped", before)
        assert amounts(session) == (0, 0, 4)
    assert await ran(harness) == []
    check_log(await harness.events())


async def test_a_call_that_is_stopped_is_spent(store: SessionStore) -> None:
    prices = [{"tool": "execute_bash", "dollars": 2}]
    harness = scene(store, runs("sleep 100"), call_prices=prices)
    async with harness.live() as session:
        await say(session, "go")
        action = await until(session, lambda event: event.KIND == "run")
        assert amounts(session) == (0, 2, 2)
        await session.submit(Stop())
        await state(session, "stopped", action.id)
        assert amounts(session) == (2, 0, 2)
    check_log(await harness.events())


async def test_a_failed_call_of_a_priced_mcp_tool_is_spent(store: SessionStore) -> None:
    harness = scene(store, FakeReply(calls=[FakeCall("mcp_job", {})]), says("Done."))
    harness.settings["call_prices"] = [{"tool": "mcp_*", "dollars": 1.5}]
    harness.settings["mcp_config"] = {"shttp_servers": ["http://127.0.0.1:9/mcp"]}
    harness.mcp = FakeMcp({"mcp_job": McpDone(text="no", failed=True)})
    async with harness.live() as session:
        await ask(session, "go")
        assert amounts(session) == (1.5, 0, 2.5)


async def test_priced_calls_that_only_read_run_together_once_they_are_reserved(store: SessionStore) -> None:
    names = ("mcp_a", "mcp_b", "mcp_c")
    harness = scene(store, FakeReply(calls=[FakeCall(name, {}) for name in names]), says("Done."))
    harness.settings |= {"call_prices": [{"tool": "mcp_*", "dollars": 1}], "max_parallel_calls": 3}
    harness.settings["mcp_config"] = {"shttp_servers": ["http://127.0.0.1:9/mcp"]}
    harness.mcp = FakeMcp({name: McpDone(text="yes") for name in names}, read_only=names)
    async with harness.live() as session:
        await ask(session, "go")
        assert amounts(session) == (3, 0, 1)
    check_log(await harness.events())


async def test_the_owner_sets_the_budget_during_a_turn_and_it_counts_at_once(store: SessionStore) -> None:
    harness = scene(store, runs("echo dear", "echo unknown", "echo cheap"), says("Done."), budget=3)
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        set_budget = SetBudget(3_500_000)
        key = IdempotencyKey.of("once", set_budget)
        first = await session.submit(set_budget, key, OwnerId("ada"))
        assert await session.submit(set_budget, key, OwnerId("ada")) == first
        assert amounts(session) == (3, 0, 0.5)
        await session.submit(SetBudget(4_000_000))
        assert amounts(session) == (3, 0, 1)
        view = session.event_stream.view.approval
        assert view is not None
        yes = await session.submit(Decide(batch=view.batch, version=view.version, rest=True))
        await state(session, WAITS, yes.id)
        await session.submit(SetBudget(None))
        assert session.event_stream.view.budget.cap is None
    begun, given, *_ = only(await harness.events(), BudgetSetAction)
    assert (begun.author, given.author) == (None, "ada")
    check_log(await harness.events())


async def test_the_budget_is_the_logs_and_not_the_settings_of_a_later_time(store: SessionStore) -> None:
    harness = scene(store, runs("echo dear"), says("Done."), says("Yes."))
    async with harness.live() as session:
        await ask(session, "go")
    harness.settings["auto_approval_budget"] = 50
    async with harness.live() as session:
        assert amounts(session) == (3, 0, 1)
        await session.submit(Undo())
        assert amounts(session) == (3, 0, 1)  # what is undone was paid


async def test_the_budget_is_off_by_default(store: SessionStore) -> None:
    harness = scene(store, runs("echo cheap"), budget=0)
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        assert only(await harness.events(), BudgetSetAction) == []
