"""Tools of MCP servers in a session: offered, called once, and unknown where the answer was lost."""

import asyncio
from typing import Any

from openhands_sessions.core.commands import Stop
from openhands_sessions.core.events.actions import McpAction, SystemAction
from openhands_sessions.core.events.observations import UNKNOWN_OUTCOME_ID, ErrorObservation, McpObservation
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.ports.mcp import McpDone
from openhands_sessions.ports.store import SessionStore
from tests.fakes.mcp import FakeMcp
from tests.fakes.model import FakeCall, FakeModel, FakeReply
from tests.support.session_harness import LONG, SessionHarness, ask, only, say, says, state

CONFIG: dict[str, Any] = {"mcp_config": {"shttp_servers": ["http://127.0.0.1:9/mcp"]}}


def calls(name: str, **arguments: Any) -> FakeReply:
    return FakeReply(calls=[FakeCall(name, arguments)])


def scene(store: SessionStore, mcp: FakeMcp, *replies: FakeReply) -> SessionHarness:
    return SessionHarness(store=store, model=FakeModel([*replies]), settings=CONFIG, mcp=mcp)


async def test_a_tool_is_offered_called_and_its_answer_told(store: SessionStore) -> None:
    mcp = FakeMcp({"mcp_a_b": McpDone(text="42"), "mcp_a_c": McpDone(text="no", failed=True)})
    harness = scene(store, mcp, calls("mcp_a_b", q="x"), calls("mcp_a_c"), says("done"))
    async with harness.live() as session:
        await ask(session, "go")
    events = await harness.events()
    names = [tool["function"]["name"] for tool in only(events, SystemAction)[0].tools or ()]  # type: ignore[index, call-overload]  # JSON
    assert names[-2:] == ["mcp_a_b", "mcp_a_c"]
    first, second = only(events, McpAction)
    assert (first.name, first.arguments) == ("mcp_a_b", {"q": "x"})
    [answer], [refusal] = only(events, McpObservation), only(events, ErrorObservation)
    assert (answer.cause, answer.name, answer.content) == (first.id, "mcp_a_b", "42")
    assert (refusal.cause, refusal.content) == (second.id, "no")
    assert [call.timeout for call in mcp.calls] == [120.0, 120.0]


async def test_a_server_that_cannot_be_used_is_told_and_the_session_goes_on(store: SessionStore) -> None:
    harness = scene(store, FakeMcp(problems=["The MCP server x is not used: gone."]), says("hello"))
    async with harness.live() as session:
        assert session.state is SessionState.READY
        await ask(session, "hi")
    [problem] = only(await harness.events(), ErrorObservation)
    assert (problem.cause, problem.content) == (None, "The MCP server x is not used: gone.")


async def test_an_answer_that_never_came_is_unknown(store: SessionStore) -> None:
    harness = scene(store, FakeMcp({"mcp_a": McpDone(text="It was lost.", unknown=True)}), calls("mcp_a"), says("done"))
    async with harness.live() as session:
        await ask(session, "go")
    [unknown] = only(await harness.events(), ErrorObservation)
    assert unknown.error_id == UNKNOWN_OUTCOME_ID
    assert unknown.content == "It was lost. The outcome is unknown; it was not called again."


async def test_a_call_that_a_restart_cut_off_is_not_made_again(store: SessionStore) -> None:
    mcp = FakeMcp({"mcp_a": McpDone(text="done")}, held=asyncio.Event())
    harness = scene(store, mcp, calls("mcp_a"), says("I see."))
    async with harness.live() as session:
        await say(session, "go")
        async with asyncio.timeout(LONG):
            await mcp.called.wait()
    async with harness.live() as session:
        await state(session, "awaiting_user_input", session.event_stream.view.head)
    assert len(mcp.calls) == 1
    [unknown] = only(await harness.events(), ErrorObservation)
    assert (unknown.error_id, unknown.cause) == (UNKNOWN_OUTCOME_ID, only(await harness.events(), McpAction)[0].id)


async def test_a_stop_lets_go_of_a_call_and_says_that_nobody_knows(store: SessionStore) -> None:
    mcp = FakeMcp({"mcp_a": McpDone(text="done")}, held=asyncio.Event())
    harness = scene(store, mcp, calls("mcp_a"))
    async with harness.live() as session:
        said = await say(session, "go")
        async with asyncio.timeout(LONG):
            await mcp.called.wait()
            await session.submit(Stop())
        await state(session, "stopped", said.id)
    [unknown] = only(await harness.events(), ErrorObservation)
    assert unknown.content.startswith("The action was stopped by the user. The outcome is unknown")
