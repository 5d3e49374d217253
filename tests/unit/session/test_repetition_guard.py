"""An agent that goes in circles: a note, then a question to the user, then an end."""

import asyncio
from typing import Any

import pytest

from openhands_sessions.core.commands import Answer
from openhands_sessions.core.events.event import AgentState
from openhands_sessions.core.events.observations import AgentStateChangedObservation, LoopDetectionObservation
from openhands_sessions.core.events.own import StopReason, TurnEndedObservation
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.repetition_guard import STUCK_NOTE, STUCK_PAUSE
from openhands_sessions.session.setup import InitialInput
from tests.fakes.model import FakeCall, FakeModel, FakeReply
from tests.fakes.store import MortalStore
from tests.support.session_harness import SessionHarness, ask, only, runs, say, says, state


def scene(store: SessionStore, *replies: FakeReply, **settings: Any) -> SessionHarness:
    return SessionHarness(store=store, model=FakeModel(replies), settings=settings)


async def reasons(harness: SessionHarness) -> list[StopReason]:
    return [one.stop_reason for one in only(await harness.events(), TurnEndedObservation)]


async def notes(harness: SessionHarness) -> list[str]:
    return [one.content for one in only(await harness.events(), LoopDetectionObservation)]


def written(*arguments: str) -> list[FakeReply]:
    return [FakeReply(calls=[FakeCall("execute_bash", each)]) for each in arguments]


async def test_a_note_then_a_pause_then_an_end(store: SessionStore) -> None:
    harness = scene(store, *[runs("echo same") for _ in range(10)], says("There."))
    async with harness.live() as session:
        await ask(session, "go")
        assert session.event_stream.view.queue_held
        await ask(session, "continue", "error")
        await ask(session, "try something else")
    assert await reasons(harness) == [StopReason.REPEATING, StopReason.STUCK, StopReason.WAITING]
    assert await notes(harness) == [STUCK_NOTE, STUCK_PAUSE]
    assert len(harness.model.requests) == 6 + 4 + 1
    read = [str(message["content"]) for message in harness.model.requests[4].messages]
    assert read.count(STUCK_NOTE) == 1
    read = [str(message["content"]) for message in harness.model.requests[6].messages]
    assert read[-2:] == [STUCK_PAUSE, "continue"]
    paused = next(one for one in only(await harness.events(), AgentStateChangedObservation) if one.reason)
    assert (paused.agent_state, paused.reason) == (AgentState.AWAITING_USER_INPUT, STUCK_PAUSE)


async def test_an_agent_that_was_paused_may_go_on_otherwise(store: SessionStore) -> None:
    harness = scene(store, *[runs("echo same") for _ in range(7)], runs("echo other"), says("There."))
    async with harness.live() as session:
        await ask(session, "go")
        await ask(session, "once more, then something else")
    assert await reasons(harness) == [StopReason.REPEATING, StopReason.WAITING]


async def test_equal_arguments_are_a_circle_however_they_are_written(store: SessionStore) -> None:
    forms = ['{"command": "true", "timeout": 5}', '{"timeout":5,"command":"true"}', ' {"command":"true", "timeout":5 }']
    harness = scene(store, *written(*forms, *forms))
    async with harness.live() as session:
        await ask(session, "go")
    assert await reasons(harness) == [StopReason.REPEATING]


@pytest.mark.parametrize("cycle", [["ls", "pwd"], ["a", "b", "c"], ["a", "b", "c", "d", "e"]])
async def test_a_cycle_of_steps_is_a_circle(store: SessionStore, cycle: list[str]) -> None:
    harness = scene(store, *[runs(f"echo {each}") for each in cycle * 4])
    async with harness.live() as session:
        await ask(session, "go")
    assert await reasons(harness) == [StopReason.REPEATING]
    assert await notes(harness) == [STUCK_NOTE, STUCK_PAUSE]


async def test_equal_calls_of_one_reply_are_one_step(store: SessionStore) -> None:
    harness = scene(store, runs(*["echo same"] * 8), says("Done."))
    async with harness.live() as session:
        await ask(session, "go")
    assert await notes(harness) == []


async def test_a_reply_of_several_calls_that_comes_again_and_again_is_a_circle(store: SessionStore) -> None:
    harness = scene(store, *[runs("echo one", "echo two") for _ in range(6)])
    async with harness.live() as session:
        await ask(session, "go")
    assert await reasons(harness) == [StopReason.REPEATING]
    told = await harness.told()
    assert told[told.index("loop_detection") - 1].startswith("ran echo two")


async def test_one_streak_gets_one_note_though_more_steps_follow(store: SessionStore) -> None:
    replies = [*[runs("echo same")] * 4, *[runs(f"echo {n}") for n in range(6)], says("Done.")]
    harness = scene(store, *replies)
    async with harness.live() as session:
        await ask(session, "go")
    assert await notes(harness) == [STUCK_NOTE]


async def test_a_poll_whose_result_changes_is_no_circle(store: SessionStore) -> None:
    harness = scene(store, *[runs("echo $OHS_ACTION_ID")] * 10, says("Done."))
    async with harness.live() as session:
        await ask(session, "go")
    assert await notes(harness) == []


async def test_bad_calls_go_in_circles_too(store: SessionStore) -> None:
    bad = FakeReply(calls=[FakeCall("dance", "{}")])
    harness = scene(store, *[bad] * 10)
    async with harness.live() as session:
        await ask(session, "go")
        await ask(session, "again", "error")
    assert await reasons(harness) == [StopReason.REPEATING, StopReason.STUCK]


async def test_each_turn_is_counted_by_itself(store: SessionStore) -> None:
    turn = [*[runs("echo same")] * 3, says("Done.")]
    harness = scene(store, *turn, *turn)
    async with harness.live() as session:
        await ask(session, "go")
        await ask(session, "and again")
    assert await notes(harness) == []


async def test_what_the_user_says_begins_the_count_anew(store: SessionStore, gate: asyncio.Event) -> None:
    call = FakeCall("execute_bash", {"command": "echo same"})
    harness = scene(store, *[runs("echo same")] * 3, FakeReply(calls=[call], hold=gate), *[runs("echo same")] * 2)
    harness.model.play(says("Done."))
    async with harness.live() as session:
        first = await say(session, "go")
        await harness.model.asked(4)
        await say(session, "a few times more")
        gate.set()
        await state(session, "awaiting_user_input", first.id)
    assert await notes(harness) == []


async def test_steps_that_the_user_agrees_to_are_counted_over_all_questions_of_a_turn(store: SessionStore) -> None:
    harness = scene(store, *[runs("echo same")] * 6, confirmation_mode=True)
    async with harness.live() as session:
        last = await ask(session, "go", "awaiting_user_confirmation")
        for step in range(6):
            await session.submit(Answer(confirmed=True))
            asked = step < 5
            last = (await state(session, "awaiting_user_confirmation" if asked else "awaiting_user_input", last)).id
    assert (await reasons(harness))[-1] is StopReason.REPEATING
    assert await notes(harness) == [STUCK_NOTE, STUCK_PAUSE]


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("dies_at", range(3, 16))
async def test_a_restart_in_mid_turn_changes_nothing_about_the_count(
    store: SessionStore, dies_at: int, stored: bool
) -> None:
    harness = scene(store, *[runs("echo same")] * 20)
    harness.opening = InitialInput(message="go")
    async with harness.killed(MortalStore(store, dies_at=dies_at, stored=stored)):
        pass
    async with harness.live() as session:
        await state(session, "awaiting_user_input")
    assert await reasons(harness) == [StopReason.REPEATING]
    assert await notes(harness) == [STUCK_NOTE, STUCK_PAUSE]
    assert (await harness.told()).count("ran echo same: same\n [0]") == 6
