"""A stop ends what runs, says so, and nothing of the turn comes behind it."""

import asyncio
from collections.abc import Mapping

import pytest

from openhands_sessions.core.commands import Pause, SendMessage, Stop
from openhands_sessions.core.events.actions import ChangeAgentStateAction
from openhands_sessions.core.events.event import AgentState, Observation, Source
from openhands_sessions.core.events.observations import ErrorObservation, RunObservation
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.ports.runtime import Runtimes
from openhands_sessions.ports.store import SessionStore
from tests.fakes.model import FakeCall, FakeModel, FakeReply
from tests.fakes.runtime import FakeRuntimes
from tests.fakes.sandbox import FarRuntimes
from tests.fakes.store import MortalStore
from tests.support.session_harness import LONG, SessionHarness, ask, only, rest, runs, say, says, state, until

STOPPED = ["user -> stopped", "turn ended: stopped", "state stopped"]


def scene(store: SessionStore, *replies: FakeReply, runtimes: Runtimes | None = None) -> SessionHarness:
    return SessionHarness(store=store, model=FakeModel(replies), runtimes=runtimes or FakeRuntimes())


def held(gate: asyncio.Event) -> Mapping[str, asyncio.Event]:
    return {"wait": gate}


async def test_a_stop_while_a_command_runs_ends_it(store: SessionStore, gate: asyncio.Event) -> None:
    harness = scene(store, runs("wait"), says("On."), runtimes=FakeRuntimes({"wait": ("half", 0)}, held(gate)))
    async with harness.live() as session:
        accepted = await say(session, "go")
        await until(session, lambda event: event.KIND == "run", accepted.id)
        await rest()
        async with asyncio.timeout(LONG):
            await session.submit(Stop())
        assert session.state is SessionState.READY
        head = session.event_stream.view.head
        gate.set()
        await rest()
        assert session.event_stream.view.head == head
        told = await harness.told()
        await ask(session, "continue")
    assert told[-5:-3] == ["run wait (confirmed)", "user -> stopped"]
    assert told[-2:] == ["turn ended: stopped", "state stopped"]
    [observation] = only(await harness.events(), RunObservation)
    assert observation.content.startswith("half")
    assert "stopped" in observation.content
    assert (await harness.told())[-3] == "agent: On."


async def test_a_stop_during_a_model_call_ends_it(store: SessionStore, gate: asyncio.Event) -> None:
    harness = scene(store, FakeReply(text="Never to be said.", hold=gate), says("On."))
    async with harness.live() as session:
        await say(session, "go")
        await harness.model.asked(1)
        async with asyncio.timeout(LONG):
            await session.submit(Stop())
        gate.set()
        await rest()
        told = await harness.told()
        await ask(session, "continue")
    assert told[-3:] == STOPPED
    assert "agent: Never to be said." not in await harness.told()


async def test_a_stop_between_the_calls_of_a_reply_drops_the_rest(store: SessionStore, gate: asyncio.Event) -> None:
    runtimes = FakeRuntimes({"wait": ("", 0)}, held(gate))
    harness = scene(store, runs("echo 1", "wait", "echo 2"), says("On."), runtimes=runtimes)
    async with harness.live() as session:
        accepted = await say(session, "go")
        await until(session, lambda event: event.describe() == "Running command: wait", accepted.id)
        await session.submit(Stop())
        await ask(session, "continue")
    assert "run echo 2 (confirmed)" not in await harness.told()
    results = [str(message["content"]) for message in harness.model.requests[1].messages if message["role"] == "tool"]
    assert results[0].startswith("1\n")
    assert results[2].startswith("Not run")


@pytest.mark.parametrize("call", ["execute_bash", "str_replace_editor"])
async def test_an_action_that_the_sandbox_had_not_heard_of_was_not_run(store: SessionStore, call: str) -> None:
    """The server ends between the recording of an action and its execution, and the user stops before it goes on."""
    arguments = {"command": "create", "path": "a.py", "file_text": "x"} if "edit" in call else {"command": "echo 1"}
    harness = scene(store, FakeReply(calls=[FakeCall(call, arguments)]))
    mortal = MortalStore(store, dies_at=4, stored=True)
    async with harness.killed(mortal) as session:
        leaving = asyncio.create_task(session.submit(SendMessage(content="go")))
        async with asyncio.timeout(LONG):
            await mortal.dead.wait()
        leaving.cancel()
    session = harness.new_session()
    stopping = asyncio.create_task(session.submit(Stop()))
    life = asyncio.create_task(session.run())
    async with asyncio.timeout(LONG):
        await stopping
        await session.close("shutdown")
        await life
    told = await harness.told()
    assert told[-2:] == ["turn ended: stopped", "state stopped"]
    assert "ran echo 1: 1\n [0]" not in told


@pytest.mark.parametrize("call", ["execute_bash", "str_replace_editor"])
async def test_a_stop_before_the_sandbox_heard_of_an_action(store: SessionStore, call: str) -> None:
    runtimes = FarRuntimes(FakeRuntimes())
    arguments = {"command": "create", "path": "a.py", "file_text": "x"} if "edit" in call else {"command": "echo 1"}
    harness = scene(store, FakeReply(calls=[FakeCall(call, arguments)]), runtimes=runtimes)
    runtimes.arrives.clear()
    async with harness.live() as session:
        accepted = await say(session, "go")
        await until(session, lambda event: event.tool_call_metadata is not None, accepted.id)
        await session.submit(Stop())
        runtimes.arrives.set()
        await rest()
    told = await harness.told()
    assert told[-2:] == ["turn ended: stopped", "state stopped"]
    ended = (await harness.events())[-3]
    assert "stopped" in (ended.content if isinstance(ended, Observation) else "")
    assert "ran echo 1: 1\n [0]" not in told


async def test_a_stop_with_the_sandbox_out_of_reach_is_truthful_and_quick(
    store: SessionStore, gate: asyncio.Event
) -> None:
    runtimes = FarRuntimes(FakeRuntimes({"wait": ("", 0)}, held(gate)))
    harness = scene(store, runs("wait"), runtimes=runtimes)
    async with harness.live() as session:
        accepted = await say(session, "go")
        await until(session, lambda event: event.KIND == "run", accepted.id)
        await rest()
        stopping = asyncio.create_task(session.submit(Stop()))
        runtimes.cut.set()
        async with asyncio.timeout(LONG):
            await stopping
        gate.set()
    [error] = only(await harness.events(), ErrorObservation)
    assert error.error_id == "AGENT_ERROR$ERROR_OUTCOME_UNKNOWN"
    assert (await harness.told())[-1] == "state stopped"


@pytest.mark.parametrize(("command", "last"), [(Stop(), "stopped"), (Pause(), "paused")])
async def test_a_stop_where_nothing_runs_is_said_once(store: SessionStore, command: Stop | Pause, last: str) -> None:
    harness = scene(store, says("a"))
    async with harness.live() as session:
        await ask(session, "hi")
        await session.submit(command)
        told = await harness.told()
        await session.submit(command)
    assert told[-3:] == [f"user -> {last}", "turn ended: stopped", f"state {last}"]
    assert (await harness.told())[len(told) :] == [f"user -> {last}"]


async def test_a_message_behind_a_stop_begins_a_new_turn(store: SessionStore, gate: asyncio.Event) -> None:
    harness = scene(store, FakeReply(text="x", hold=gate), says("New."))
    async with harness.live() as session:
        await say(session, "go")
        await harness.model.asked(1)
        stopping = asyncio.create_task(session.submit(Stop()))
        await asyncio.sleep(0)
        await ask(session, "instead")
        await stopping
    told = await harness.told()
    assert told.index("state stopped") < told.index("user: instead") < told.index("agent: New.")


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("at", range(2))
async def test_a_stop_that_a_crash_cut_short_is_carried_out_by_the_next_server(
    store: SessionStore, gate: asyncio.Event, at: int, stored: bool
) -> None:
    runtimes = FakeRuntimes({"wait": ("", 0)}, held(gate))
    harness = scene(store, runs("wait"), says("Went on."), runtimes=runtimes)
    mortal = MortalStore(store, dies_at=5 + at, stored=stored)
    async with harness.killed(mortal) as session:
        accepted = await say(session, "go")
        await until(session, lambda event: event.KIND == "run", accepted.id)
        await rest()
        stopping = asyncio.create_task(session.submit(Stop()))
        async with asyncio.timeout(LONG):
            await mortal.dead.wait()
        stopping.cancel()
    recorded = any(
        isinstance(event, ChangeAgentStateAction) and event.source is Source.USER for event in await harness.events()
    )
    async with harness.live() as session:
        if not recorded:
            gate.set()
        await state(session, AgentState.STOPPED if recorded else AgentState.AWAITING_USER_INPUT, accepted.id)
        await rest()
    told = await harness.told()
    assert ("agent: Went on." in told) == (not recorded)
    assert told.count("state stopped") == int(recorded)
