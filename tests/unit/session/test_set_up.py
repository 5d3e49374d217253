"""Each stage of set-up says what it does, and what went wrong, to whoever follows."""

import asyncio
import json
from collections.abc import Callable

import pytest

from openhands_sessions.core.commands import SendMessage
from openhands_sessions.core.errors import (
    BadInput,
    Fenced,
    ModelFailure,
    NotFound,
    RuntimeUnavailable,
    SessionsError,
    StageFailed,
    StorageUnavailable,
)
from openhands_sessions.core.events.actions import SystemAction
from openhands_sessions.core.events.event import AgentState
from openhands_sessions.core.events.observations import AgentStateChangedObservation, RecallObservation
from openhands_sessions.core.lifecycle import SET_UP, SessionState
from openhands_sessions.ports.gateway import Status
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.setup_stages import STAGES
from tests.fakes.model import FakeModel, FakeReply
from tests.fakes.openings import DoorAgents, DoorMemory, DoorRuntimes, Doorway, Fault
from tests.fakes.runtime import FakeRuntimes
from tests.fakes.store import MortalStore
from tests.support.session_harness import (
    LONG,
    SessionHarness,
    ask,
    hold,
    only,
    our_tasks,
    reason_of_end,
    rest,
    runs,
    says,
    state,
)

S = SessionState
FAULTS: list[tuple[Callable[[], Exception], str, str]] = [
    (lambda: RuntimeUnavailable("no bash in /usr/local/bin/x"), "RuntimeUnavailable", "no bash in <path>"),
    (lambda: ModelFailure("STATUS$ERROR", "no such model"), "ModelFailure", "no such model"),
    (lambda: BadInput("agent", "does not exist"), "BadInput", "agent does not exist"),
    (lambda: PermissionError(13, "Permission denied", "/etc/secret/x"), "PermissionError", "Permission denied"),
    (lambda: OSError("/var/lib/secret"), "OSError", "the system refused"),
    (lambda: RuntimeError("token=/home/ada/.key"), "RuntimeError", "an error of the server"),
    (lambda: AssertionError("our bug"), "AssertionError", "an error of the server"),
]


def scene(store: SessionStore, stage: SessionState = S.AGENT_SETUP, door: Doorway | None = None) -> SessionHarness:
    harness = SessionHarness(store=store, model=FakeModel([says("Hello.")]))
    match stage:
        case S.RUNTIME_SETUP:
            harness.runtimes = DoorRuntimes(door or Doorway())
        case S.AGENT_SETUP:
            harness.agents = DoorAgents(door or Doorway())
        case S.MEMORY_SETUP:
            harness.memory = DoorMemory(door or Doorway())
    return harness


async def test_set_up_goes_through_its_stages_in_order_and_tells_each(store: SessionStore) -> None:
    harness = SessionHarness(store=store, model=FakeModel([]))
    session = harness.new_session()
    told: list[str | None] = []

    async def follows() -> None:
        async for news in session.event_stream.feed.follow(-1):
            if isinstance(news, Status):
                told.append(news.id)

    following = asyncio.create_task(follows())
    life = asyncio.create_task(session.run())
    await session.settled()
    await rest()
    following.cancel()
    await asyncio.wait([following])
    assert unrepeated(harness.changes) == [*SET_UP, S.READY]
    assert told == [*(STAGES[stage].status for stage in SET_UP), "STATUS$READY"]
    assert session.runtime is not None
    assert session.controller is not None
    await session.close("stopped")
    await life
    assert unrepeated(harness.changes)[-2:] == [S.CLOSING, S.CLOSED]


def unrepeated(states: list[SessionState]) -> list[SessionState]:
    """Without the changes that were the agent's only."""
    return [state for place, state in enumerate(states) if place == 0 or states[place - 1] is not state]


@pytest.mark.parametrize("stage", [S.RUNTIME_SETUP, S.AGENT_SETUP, S.MEMORY_SETUP])
@pytest.mark.parametrize(("fault", "name", "text"), FAULTS, ids=[name for _, name, _ in FAULTS])
@pytest.mark.slow
async def test_a_stage_that_fails_says_which_and_why_and_no_more(
    store: SessionStore, stage: SessionState, fault: Fault, name: str, text: str
) -> None:
    harness = scene(store, stage, Doorway(fault))
    async with harness.live() as session:
        assert session.state is S.ERROR
        assert isinstance(session.problem, StageFailed)
        assert (session.problem.stage, session.problem.cause_name) == (stage, name)
        assert session.problem.message == f"the session could not be set up: {text}"
        with pytest.raises(StageFailed):
            await session.submit(SendMessage(content="hi"))
        assert await reason_of_end(session) == "failed"
        problem = session.problem.message
    failed = only(await harness.events(), AgentStateChangedObservation)[-1]
    assert (failed.agent_state, failed.reason) == (AgentState.ERROR, problem)
    assert harness.changes[-1] is S.CLOSED


async def test_whoever_waits_with_a_command_hears_of_the_failure(store: SessionStore) -> None:
    session = scene(store, S.AGENT_SETUP, Doorway(FAULTS[0][0])).new_session()
    waiting = asyncio.create_task(session.submit(SendMessage(content="hi")))
    life = asyncio.create_task(session.run())
    with pytest.raises(StageFailed):
        await waiting
    await session.close("stopped")
    await life


async def test_what_was_opened_before_a_failure_is_closed(store: SessionStore) -> None:
    first, second = Doorway(), Doorway(FAULTS[1][0])
    harness = SessionHarness(store=store, model=FakeModel([]), runtimes=DoorRuntimes(first), agents=DoorAgents(second))
    async with harness.live() as session:
        assert session.state is S.ERROR
        assert (first.closed, second.closed) == (1, 0)


async def test_the_next_session_tries_again_and_goes_on(store: SessionStore) -> None:
    async with scene(store, S.AGENT_SETUP, Doorway(FAULTS[0][0])).live():
        pass
    harness = scene(store, S.CREATED)
    async with harness.live() as session:
        assert session.state is S.READY
        await ask(session, "hi")
    told = await harness.told()
    assert told[:2] == ["state loading", "state error"]
    assert told.count("system") == 1


async def test_a_session_that_fails_again_and_again_records_each_reason_once(store: SessionStore) -> None:
    for fault in (FAULTS[0], FAULTS[0], FAULTS[1]):
        async with scene(store, S.AGENT_SETUP, Doorway(fault[0])).live():
            pass
    failed = only(await scene(store).events(), AgentStateChangedObservation)[1:]
    assert [each.reason.partition(": ")[2] for each in failed] == [text for _, _, text in FAULTS[:2]]


@pytest.mark.parametrize("asks", [False, True])
async def test_a_session_that_is_set_up_again_takes_back_that_it_failed(store: SessionStore, asks: bool) -> None:
    harness = SessionHarness(store=store, model=FakeModel([runs("echo 1") if asks else says("Hello.")]))
    harness.settings = {"confirmation_mode": True}
    waits = "awaiting_user_confirmation" if asks else "awaiting_user_input"
    async with harness.live() as session:
        await ask(session, "hi", waits)
    harness.agents = DoorAgents(Doorway(FAULTS[0][0]))
    async with harness.live():
        pass
    harness.agents = None
    async with harness.live() as session:
        assert session.event_stream.view.agent_state == waits
    assert (await harness.told()).count("state error") == 1


async def test_a_turn_that_has_failed_is_not_taken_back(store: SessionStore) -> None:
    harness = SessionHarness(
        store=store, model=FakeModel([FakeReply(fail=ModelFailure("STATUS$ERROR", "no such model"))])
    )
    async with harness.live() as session:
        await ask(session, "hi", "error")
    async with harness.live() as session:
        assert session.event_stream.view.agent_state == "error"


@pytest.mark.parametrize("stage", SET_UP)
async def test_every_stage_has_a_limit(store: SessionStore, stage: SessionState) -> None:
    assert 5 <= STAGES[stage].limit <= 300
    harness = SessionHarness(store=store, model=FakeModel([]), limits={stage: 0.01})
    held = hold(harness, stage)
    async with harness.live(held.store) as session:
        assert isinstance(session.problem, StageFailed)
        assert (session.problem.stage, session.problem.cause_name) == (stage, "TimeoutError")


@pytest.mark.parametrize(
    "fault", [Fenced(1, 2), StorageUnavailable("the disk is full"), NotFound("conversation", "talk")]
)
async def test_a_store_that_refuses_is_the_first_stages_failure(store: SessionStore, fault: SessionsError) -> None:
    harness = SessionHarness(store=store, model=FakeModel([]))
    refusing = MortalStore(store, dies_at=0, stored=False)
    refusing.refusal = fault
    refusing.dead.set()
    async with harness.live(refusing) as session:
        assert isinstance(session.problem, StageFailed)
        assert (session.problem.stage, session.problem.cause_name) == (S.INITIALIZING, type(fault).__name__)
    assert await harness.events() == []


async def test_a_conversation_that_was_deleted_meanwhile_ends_in_error_and_closes(store: SessionStore) -> None:
    door = Doorway(held=asyncio.Event(), fault=FAULTS[0][0])
    harness = scene(store, S.AGENT_SETUP, door)
    session = harness.new_session()
    life = asyncio.create_task(session.run())
    await door.entered.wait()
    await store.conversations.delete(session.sid)
    assert door.held is not None
    door.held.set()
    async with asyncio.timeout(LONG):
        await session.settled()
        assert session.state is S.ERROR
        await session.close("deleted")
        await life
    assert not our_tasks()


async def test_what_is_known_of_the_workspace_is_told_once_in_a_conversations_life(store: SessionStore) -> None:
    door = Doorway()
    harness = scene(store, S.MEMORY_SETUP, door)
    harness.model.play(says("Again."))
    for text in ("one", "two"):
        async with harness.live() as session:
            await ask(session, text)
    [recalled] = only(await harness.events(), RecallObservation)
    assert recalled.repo_instructions == "Be kind."
    contents = [message["content"] for message in harness.model.requests[0].messages]
    assert str(contents[1]).endswith("Be kind.")
    assert contents[2] == "one"


async def test_a_reopened_conversation_keeps_its_prompt(store: SessionStore) -> None:
    harness = SessionHarness(
        store=store, model=FakeModel([]), settings={"conversation_instructions": "In verse, please."}
    )
    for _ in range(3):
        async with harness.live():
            pass
    [prompt] = only(await harness.events(), SystemAction)
    assert prompt.content.endswith("In verse, please.")
    assert prompt.tools is not None
    assert len(prompt.tools) == 5
    assert (prompt.agent_class, prompt.openhands_version) == ("ModelAgent", "test")


async def test_an_agent_that_was_stopped_waits_for_input_when_it_is_reopened(store: SessionStore) -> None:
    harness = SessionHarness(store=store, model=FakeModel([says("Hello.")]))
    async with harness.live() as session:
        await ask(session, "hi")
        await session.close("stopped")
    assert (await harness.told())[-1] == "state stopped"
    async with harness.live() as session:
        await state(session, "awaiting_user_input", len(await harness.events()) - 2)
    assert (await harness.told())[-2:] == ["environment -> awaiting_user_input", "state awaiting_user_input"]


@pytest.mark.parametrize("has_it", [True, False])
async def test_cells_are_offered_where_the_sandbox_has_ipython(store: SessionStore, has_it: bool) -> None:
    harness = SessionHarness(store=store, model=FakeModel([]), runtimes=FakeRuntimes(ipython=has_it))
    async with harness.live():
        pass
    [system] = only(await harness.events(), SystemAction)
    names = [json.loads(json.dumps(tool))["function"]["name"] for tool in system.tools or ()]
    assert ("run_ipython" in names) == has_it
    assert "execute_bash" in names
