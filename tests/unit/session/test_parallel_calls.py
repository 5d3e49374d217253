"""Calls of one reply that change nothing run at the same time; each has its own result, whatever happens to others."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from openhands_sessions.core.commands import Stop
from openhands_sessions.core.dialogue import dialogue
from openhands_sessions.core.events.actions import McpAction, ReadAction
from openhands_sessions.core.events.event import Event
from openhands_sessions.core.events.observations import (
    UNKNOWN_OUTCOME_ID,
    ErrorObservation,
    McpObservation,
    ReadObservation,
)
from openhands_sessions.ports.mcp import McpDone
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.agent_session import AgentSession
from tests.fakes.mcp import FakeMcp
from tests.fakes.model import FakeCall, FakeModel, FakeReply
from tests.fakes.runtime import FakeRuntimes
from tests.fakes.sandbox import FarRuntimes
from tests.support.session_harness import LONG, SessionHarness, ask, only, say, says, state
from tests.support.valid_history import valid

CONFIG: dict[str, Any] = {"mcp_config": {"shttp_servers": ["http://127.0.0.1:9/mcp"]}}
NAMES = ("mcp_a", "mcp_b", "mcp_c")


def reply(*names: str) -> FakeReply:
    return FakeReply(calls=[FakeCall(name, {}) for name in names])


def looking(*names: str, **more: Any) -> FakeMcp:
    """Functions that only read; each waits for its event, where it has one."""
    return FakeMcp({name: McpDone(text=f"of {name}") for name in NAMES}, read_only=names or NAMES, **more)


def scene(store: SessionStore, mcp: FakeMcp, *replies: FakeReply, most: int = 3) -> SessionHarness:
    settings = {**CONFIG, "max_parallel_calls": most}
    return SessionHarness(store=store, model=FakeModel([*replies]), settings=settings, mcp=mcp)


async def called(mcp: FakeMcp, *names: str) -> None:
    """Wait for calls, of which there are no others."""
    async with asyncio.timeout(LONG):
        while len(mcp.calls) < len(names):
            mcp.called.clear()
            await mcp.called.wait()
    assert sorted(call.name for call in mcp.calls) == sorted(names)


async def has_result(session: AgentSession) -> None:
    """Wait for a result."""
    found: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    session.event_stream.listen(
        lambda event: None if found.done() or not isinstance(event, McpObservation) else found.set_result(None)
    )
    async with asyncio.timeout(LONG):
        await found


def results(events: Sequence[Event]) -> list[str]:
    """What a model is shown as results, in its order."""
    messages: Any = list(dialogue(events))
    assert valid(messages)
    return [message["content"] for message in messages if message["role"] == "tool"]


async def test_they_run_at_once_and_the_model_reads_the_results_in_its_own_order(store: SessionStore) -> None:
    events = {name: asyncio.Event() for name in NAMES}
    mcp = looking(held_by_name=events)
    harness = scene(store, mcp, reply(*NAMES), says("done"))
    async with harness.live() as session:
        said = await say(session, "go")
        await called(mcp, *NAMES)
        for name in reversed(NAMES):
            result = asyncio.create_task(has_result(session))
            await asyncio.sleep(0)
            events[name].set()
            await result
        await state(session, "awaiting_user_input", said.id)
    log = await harness.events()
    asked, answered = only(log, McpAction), only(log, McpObservation)
    assert [action.name for action in asked] == [*NAMES]
    assert [observation.name for observation in answered] == [*reversed(NAMES)]
    assert results(log) == [f"of {name}" for name in NAMES]


@pytest.mark.parametrize(
    ("most", "read_only", "first"), [(2, NAMES, NAMES[:2]), (1, NAMES, NAMES[:1]), (3, ("mcp_a", "mcp_b"), NAMES[:2])]
)
async def test_so_many_run_at_once_as_may_and_none_beside_one_that_changes_something(
    store: SessionStore, most: int, read_only: Sequence[str], first: Sequence[str]
) -> None:
    mcp = looking(*read_only, held=asyncio.Event())
    harness = scene(store, mcp, reply(*NAMES), says("done"), most=most)
    async with harness.live() as session:
        said = await say(session, "go")
        await called(mcp, *first)
        assert [action.name for action in only(await harness.events(), McpAction)] == [*first]
        assert mcp.held is not None
        mcp.held.set()
        await state(session, "awaiting_user_input", said.id)
    assert results(await harness.events()) == [f"of {name}" for name in NAMES]


async def test_a_stop_keeps_the_result_that_came_and_says_that_the_others_are_unknown(store: SessionStore) -> None:
    waits = asyncio.Event()
    mcp = looking(held_by_name={"mcp_a": waits, "mcp_c": waits})
    harness = scene(store, mcp, reply(*NAMES))
    async with harness.live() as session:
        result = asyncio.create_task(has_result(session))
        said = await say(session, "go")
        await result
        await called(mcp, *NAMES)
        async with asyncio.timeout(LONG):
            await session.submit(Stop())
        await state(session, "stopped", said.id)
    log = await harness.events()
    assert [observation.content for observation in only(log, McpObservation)] == ["of mcp_b"]
    assert [problem.error_id for problem in only(log, ErrorObservation)] == [UNKNOWN_OUTCOME_ID] * 2
    assert results(log)[1] == "of mcp_b"
    assert len(mcp.calls) == 3


async def test_one_that_fails_takes_no_other_down(store: SessionStore) -> None:
    mcp = looking()
    mcp.answers["mcp_b"] = McpDone(text="no such thing", failed=True)
    harness = scene(store, mcp, reply(*NAMES), says("done"))
    async with harness.live() as session:
        await ask(session, "go")
    assert results(await harness.events()) == ["of mcp_a", "no such thing", "of mcp_c"]


async def test_a_restart_calls_none_of_them_again(store: SessionStore) -> None:
    mcp = looking(held=asyncio.Event())
    harness = scene(store, mcp, reply(*NAMES), says("I see."))
    async with harness.live() as session:
        await say(session, "go")
        await called(mcp, *NAMES)
    async with harness.live() as session:
        await state(session, "awaiting_user_input", session.event_stream.view.head)
    log = await harness.events()
    assert [problem.error_id for problem in only(log, ErrorObservation)] == [UNKNOWN_OUTCOME_ID] * 3
    assert len(results(log)) == len(mcp.calls) == 3


async def test_files_are_viewed_at_once_and_one_that_is_missing_is_told(store: SessionStore) -> None:
    views = [FakeCall("str_replace_editor", {"command": "view", "path": name}) for name in ("a", "b")]
    makes = FakeCall("str_replace_editor", {"command": "create", "path": "a", "file_text": "here"})
    harness = SessionHarness(
        store=store,
        model=FakeModel([FakeReply(calls=[makes]), FakeReply(calls=views), says("done")]),
        settings={"max_parallel_calls": 2},
    )
    async with harness.live() as session:
        await ask(session, "go")
    log = await harness.events()
    kinds = [type(event) for event in log if isinstance(event, ReadAction | ReadObservation | ErrorObservation)]
    assert kinds[:2] == [ReadAction, ReadAction]
    assert sorted(kind.__name__ for kind in kinds[2:]) == ["ErrorObservation", "ReadObservation"]
    assert "here" in results(log)[1]


async def test_a_sandbox_that_is_away_ends_the_turn_with_a_result_for_each(store: SessionStore) -> None:
    views = [FakeCall("str_replace_editor", {"command": "view", "path": name}) for name in ("a", "b")]
    runtimes = FarRuntimes(FakeRuntimes())
    harness = SessionHarness(
        store=store, model=FakeModel([FakeReply(calls=views)]), runtimes=runtimes, settings={"max_parallel_calls": 2}
    )
    async with harness.live() as session:
        runtimes.cut.set()
        await ask(session, "go", "error")
    log = await harness.events()
    assert len(results(log)) == 2
    assert {problem.cause for problem in only(log, ErrorObservation)} == {read.id for read in only(log, ReadAction)}
