"""Recorded steps are issued in place of the model, in order and each once, and then the model goes on."""

import asyncio
import json
from typing import Any
from weakref import ref

import pytest

from openhands_sessions.core.commands import Answer, Resume, SendMessage, Stop
from openhands_sessions.core.events.actions import FinishAction, MessageAction, RunAction, ThinkAction
from openhands_sessions.core.events.observations import (
    REPLAY_DIFFERS_ID,
    REPLAY_LOST_ID,
    ErrorObservation,
    RunObservation,
)
from openhands_sessions.core.events.own import ReplayBegunObservation, ReplayEndedObservation
from openhands_sessions.core.ids import EventId
from openhands_sessions.core.settings import SessionSettings
from openhands_sessions.core.trajectory import TrajectoryStep, read_trajectory
from openhands_sessions.core.view import ConversationView, reduce
from openhands_sessions.ports.memory import RecalledKnowledge
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.knowledge_recall import KnowledgeRecall
from openhands_sessions.session.replay import Replay
from openhands_sessions.session.setup import InitialInput
from openhands_sessions.session.tool_registry import ToolRegistry
from tests.fakes.memory_store import open_memory
from tests.fakes.model import FakeModel
from tests.fakes.runtime import FakeRuntimes
from tests.fakes.store import MortalStore
from tests.support.session_harness import SessionHarness, arguments, ask, only, says, state, until
from tests.support.store_entries import NOW, TALK, row
from tests.unit.core.test_trajectory import run, said


def ran(cause: int, code: int = 0) -> dict[str, Any]:
    extras = {"command": "", "metadata": {"exit_code": code}}
    return {"id": cause + 1, "source": "agent", "observation": "run", "cause": cause, "content": "", "extras": extras}


def act(action: str, **args: Any) -> dict[str, Any]:
    return {"id": 90, "source": "agent", "action": action, "args": args}


TWO = [run(1, "echo a >> ran", thought="First."), ran(1), run(3, "echo b >> ran"), ran(3)]
FINISH = act("finish", final_thought="All done.")


def replayed(
    store: SessionStore, *entries: dict[str, Any], harness: SessionHarness | None = None, **more: Any
) -> SessionHarness:
    """A conversation that begins with these entries, behind the message `go`."""
    trajectory = read_trajectory(json.dumps([said("go"), *entries]))

    async def steps() -> tuple[TrajectoryStep, ...]:
        return trajectory.steps

    opening = InitialInput(message=trajectory.message.content, replay=steps)
    return SessionHarness(store=store, model=FakeModel([]), opening=opening, **more)


async def lines(harness: SessionHarness) -> list[str]:
    """What the commands have left behind."""
    async with harness.live() as session:
        assert session.runtime is not None
        return (await session.runtime.files.read("ran")).decode().split()


def differences(events: list[Any]) -> list[str]:
    return [event.content for event in only(events, ErrorObservation) if event.error_id == REPLAY_DIFFERS_ID]


async def test_steps_are_issued_in_order_and_the_last_word_ends_the_turn(store: SessionStore) -> None:
    harness = replayed(store, *TWO, act("think", thought="Hm."), FINISH)
    async with harness.live() as session:
        await state(session, "finished")
    told = await harness.told()
    assert [line for line in told if line.startswith("run ")] == [
        "run echo a >> ran (confirmed)",
        "run echo b >> ran (confirmed)",
    ]
    events = await harness.events()
    assert [action.thought for action in only(events, RunAction)] == ["First.", ""]
    assert only(events, ThinkAction)[0].thought == "Hm."
    assert only(events, FinishAction)[0].final_thought == "All done."
    assert not differences(events)
    assert harness.model.requests == []
    assert await lines(harness) == ["a", "b"]


async def test_then_the_model_goes_on_and_knows_what_was_done(store: SessionStore) -> None:
    harness = replayed(store, *TWO)
    harness.model.play(says("Live again."))
    async with harness.live() as session:
        await state(session, "awaiting_user_input")
    [request] = harness.model.requests
    calls = [text for message in request.messages if message.get("tool_calls") for text in arguments(message)]
    assert [json.loads(call)["command"] for call in calls] == ["echo a >> ran", "echo b >> ran"]
    assert (await harness.told())[-3:] == ["agent: Live again.", "turn ended: waiting", "state awaiting_user_input"]


async def test_what_user_and_agent_said_is_said_again_without_waiting(store: SessionStore) -> None:
    harness = replayed(store, said("One.", "agent"), said("and now?"), *TWO, said("Two.", "agent"))
    async with harness.live() as session:
        await state(session, "awaiting_user_input")
    messages = only(await harness.events(), MessageAction)
    assert [(one.source, one.content, one.wait_for_response) for one in messages] == [
        ("user", "go", False),
        ("agent", "One.", False),
        ("user", "and now?", False),
        ("agent", "Two.", True),
    ]


@pytest.mark.parametrize(
    ("metadata", "content"),
    [({}, ""), ({"arguments": '{"thought": "hm"}', "model_response": {"id": "r"}}, "Let me think.")],
    ids=["theirs", "ours"],
)
async def test_a_thought_is_had_again_and_not_doubled(
    store: SessionStore, metadata: dict[str, Any], content: str
) -> None:
    call = {"function_name": "think", "tool_call_id": "c", "total_calls_in_response": 1, **metadata}
    thought = {**act("think", thought="Let me think.\nhm"), "tool_call_metadata": call}
    harness = replayed(store, thought)
    harness.model = FakeModel([says("Live again.")])
    async with harness.live() as session:
        await state(session, "awaiting_user_input")
    [again] = only(await harness.events(), ThinkAction)
    assert again.thought == "Let me think.\nhm"
    [request] = harness.model.requests
    assert [message["content"] for message in request.messages if message["role"] == "assistant"] == [content]


async def test_where_it_went_otherwise_is_said_and_it_goes_on(store: SessionStore) -> None:
    runtimes = FakeRuntimes({"make test": ("", 2)})
    failed = {**ran(1), "observation": "error", "extras": {}}
    harness = replayed(store, run(1, "make test"), ran(1), act("browse", url="http://x"), FINISH, runtimes=runtimes)
    async with harness.live() as session:
        await state(session, "finished")
    [difference] = differences(await harness.events())
    assert "step 1 of 3" in difference
    assert "make test" in difference
    assert difference.endswith("recorded was exit code 0, now it is 2. It goes on.")
    async with open_memory() as other:
        await other.conversations.create(row(TALK))
        harness = replayed(
            other,
            run(1, "true"),
            failed,
            {**act("browse", url="u"), "id": 5},
            {**ran(5), "observation": "browse"},
            FINISH,
        )
        async with harness.live() as session:
            await state(session, "finished")
        assert [text[:42] for text in differences(await harness.events())] == [
            "The replay went otherwise at step 1 of 3 (",
            "The replay went otherwise at step 2 of 3 (",
        ]


async def test_a_stop_stops_it_and_it_goes_on_where_it_was(store: SessionStore, gate: asyncio.Event) -> None:
    runtimes = FakeRuntimes(holds={"wait": gate})
    harness = replayed(store, *TWO[:2], run(3, "wait"), *TWO[2:], FINISH, runtimes=runtimes)
    async with harness.live() as session:
        await until(session, lambda event: isinstance(event, RunAction) and event.command == "wait")
        stopped = await session.submit(Stop())
        await state(session, "stopped", stopped.id)
        assert (await harness.told())[-1] == "state stopped"
        resumed = await session.submit(Resume())
        await state(session, "finished", resumed.id)
    commands = [event.command for event in only(await harness.events(), RunAction)]
    assert commands == ["echo a >> ran", "wait", "echo b >> ran"]
    assert await lines(harness) == ["a", "b"]


@pytest.mark.parametrize(("text", "goes_on"), [("Continue", True), ("do something else", False)])
async def test_a_message_but_continue_takes_over(
    store: SessionStore, gate: asyncio.Event, text: str, goes_on: bool
) -> None:
    runtimes = FakeRuntimes(holds={"wait": gate})
    harness = replayed(store, run(1, "wait"), *TWO, FINISH, runtimes=runtimes)
    harness.model.play(*([] if goes_on else [says("Something else.")]))
    async with harness.live() as session:
        await until(session, lambda event: isinstance(event, RunAction))
        stopped = await session.submit(Stop())
        await state(session, "stopped", stopped.id)
        await ask(session, text, "finished" if goes_on else "awaiting_user_input")
        assert session.event_stream.view.replaying is False
    events = await harness.events()
    assert len(only(events, RunAction)) == (3 if goes_on else 1)
    assert [event.done for event in only(events, ReplayEndedObservation)] == ([] if goes_on else [1])


async def test_a_message_takes_over_while_a_step_is_under_way(store: SessionStore, gate: asyncio.Event) -> None:
    runtimes = FakeRuntimes(holds={"wait": gate})
    harness = replayed(store, run(1, "wait"), *TWO, FINISH, runtimes=runtimes)
    harness.model.play(says("Something else."))
    async with harness.live() as session:
        await until(session, lambda event: isinstance(event, RunAction))
        said = await session.submit(SendMessage(content="do something else"))
        gate.set()
        await state(session, "awaiting_user_input", said.id)
    assert [event.command for event in only(await harness.events(), RunAction)] == ["wait"]


async def test_a_closed_session_goes_on_where_the_replay_was(store: SessionStore, gate: asyncio.Event) -> None:
    runtimes = FakeRuntimes(holds={"wait": gate})
    harness = replayed(store, *TWO[:2], run(3, "wait"), *TWO[2:], FINISH, runtimes=runtimes)
    async with harness.live() as session:
        await until(session, lambda event: isinstance(event, RunAction) and event.command == "wait")
        await session.close("stopped")
    assert (await harness.told())[-1] == "state stopped"
    async with harness.live() as session:
        assert session.event_stream.view.replaying
        await ask(session, "continue", "finished")
    assert await lines(harness) == ["a", "b"]


async def test_confirmation_mode_asks_about_recorded_actions_too(store: SessionStore) -> None:
    harness = replayed(store, *TWO, FINISH, settings={"confirmation_mode": True})
    async with harness.live() as session:
        asked = await state(session, "awaiting_user_confirmation")
        assert only(await harness.events(), RunObservation) == []
        answer = await session.submit(Answer(confirmed=True))
        await state(session, "awaiting_user_confirmation", answer.id)
        assert asked.id < answer.id
        refused = await session.submit(Answer(confirmed=False))
        await state(session, "awaiting_user_input", refused.id)
        await ask(session, "continue", "finished")
    assert await lines(harness) == ["a"]
    assert not differences(await harness.events())


async def test_limits_and_loops_are_no_concern_of_a_replay(store: SessionStore) -> None:
    same = [entry for number in range(1, 21, 2) for entry in (run(number, "true"), ran(number))]
    harness = replayed(store, *same, FINISH, settings={"max_iterations": 2})
    async with harness.live() as session:
        await state(session, "finished")
    assert len(only(await harness.events(), RunObservation)) == 10


async def test_lost_steps_are_said_and_the_model_goes_on(store: SessionStore) -> None:
    async def lost() -> None:
        return None

    harness = SessionHarness(
        store=store, model=FakeModel([says("Hello.")]), opening=InitialInput(message="go", replay=lost)
    )
    async with harness.live() as session:
        await state(session, "awaiting_user_input")
    assert f"error {REPLAY_LOST_ID}" in await harness.told()


DEADLY = [*TWO, said("One.", "agent"), said("more"), run(7, "echo c >> ran"), ran(7, 1), FINISH]


@pytest.mark.slow
async def test_a_server_that_dies_at_any_append_goes_on_exactly_there() -> None:
    async with open_memory() as store:
        await store.conversations.create(row(TALK))
        undying, harness = MortalStore(store, dies_at=-1, stored=False), replayed(store, *DEADLY)
        async with harness.live(undying) as session:
            await state(session, "finished")
        told = without_resuming(await harness.told())
    assert undying.count > 10
    for number in range(undying.count):
        for stored in (False, True):
            async with open_memory() as store:
                await store.conversations.create(row(TALK))
                harness = replayed(store, *DEADLY)
                async with harness.killed(MortalStore(store, dies_at=number, stored=stored)):
                    pass
                async with harness.live() as session:
                    await state(session, "finished")
                assert without_resuming(await harness.told()) == told
                assert await lines(harness) == ["a", "b", "c"]
                assert len(differences(await harness.events())) == 1
                assert harness.model.requests == []


def without_resuming(told: list[str]) -> list[str]:
    return [line for line in told if line != "turn_resumed"]


class Steps(list[TrajectoryStep]):
    """One that can be watched."""


def test_what_was_replayed_does_not_stay_in_memory() -> None:
    steps = Steps(read_trajectory(json.dumps([said("go"), *TWO])).steps)
    gone = ref(steps)
    replaying = Replay(steps, ToolRegistry(()), KnowledgeRecall(RecalledKnowledge(), SessionSettings(), lambda: NOW))
    del steps
    view = reduce(ConversationView(), ReplayBegunObservation(id=EventId(0), steps=2))
    assert replaying.next(view) is not None
    ended = reduce(view, ReplayEndedObservation(id=EventId(1), done=0))
    assert replaying.next(ended) is None
    assert gone() is None
