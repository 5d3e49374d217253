"""Nothing runs before the answer, the first answer wins, and a question outlives connections and servers."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from openhands_sessions.core.commands import Answer, SendMessage, Stop
from openhands_sessions.core.errors import BadInput, NotAccepting
from openhands_sessions.core.events.actions import ChangeAgentStateAction, EditAction, RunAction
from openhands_sessions.core.events.event import ConfirmationState, Event, Source
from openhands_sessions.core.events.observations import ErrorObservation, UserRejectedObservation
from openhands_sessions.core.ids import EventId
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.agent_session import AgentSession
from tests.fakes.model import FakeCall, FakeModel, FakeReply
from tests.fakes.runtime import FakeRuntimes
from tests.fakes.store import MortalStore
from tests.support.session_harness import SessionHarness, ask, finishes, only, outline, rest, runs, say, says, state
from tests.support.store_entries import TALK

ASKED = "awaiting_user_confirmation"
YES, NO = Answer(confirmed=True), Answer(confirmed=False)


def scene(store: SessionStore, *replies: FakeReply) -> SessionHarness:
    return SessionHarness(store=store, model=FakeModel(replies), settings={"confirmation_mode": True})


async def pending(session: AgentSession) -> EventId:
    found = session.event_stream.view.pending
    assert found is not None
    return found


def named(events: Sequence[Event], command: str) -> list[RunAction]:
    return [action for action in only(events, RunAction) if action.command == command]


async def test_the_question_and_its_state_are_one_append(store: SessionStore) -> None:
    harness = scene(store, runs("echo 1", text="I look."))
    mortal = MortalStore(store, dies_at=4, stored=False)
    async with harness.killed(mortal) as session:
        await say(session, "go")
    assert (await harness.told())[-1] == "recall"
    harness.model.play(runs("echo 1", text="I look."))
    async with harness.live() as session:
        await state(session, ASKED)
        events = await harness.events()
    [asked] = named(events, "echo 1")
    assert asked.confirmation_state is ConfirmationState.AWAITING
    assert asked.thought == "I look."
    assert (await harness.told())[-3:] == [
        f"state {ASKED}",
        "run echo 1 (awaiting_confirmation)",
        "turn ended: approval",
    ]


async def test_nothing_runs_before_the_answer(store: SessionStore) -> None:
    harness = scene(store, runs("echo 1 >> ran"))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        await rest()
        assert session.runtime is not None
        assert await session.runtime.files.list() == []
        assert not session.busy


async def test_a_yes_restates_the_action_and_runs_it_under_its_new_id(store: SessionStore) -> None:
    harness = scene(store, runs("echo 1", text="I look."), says("Done."))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        accepted = await session.submit(YES)
        await state(session, "awaiting_user_input", accepted.id)
    events = await harness.events()
    asked, again = named(events, "echo 1")
    assert (again.confirmation_state, again.cause, again.thought) == (ConfirmationState.CONFIRMED, asked.id, "")
    assert again.tool_call_metadata == asked.tool_call_metadata
    assert again.llm_metrics is None
    assert outline((await harness.events())[accepted.id :]) == [
        "user -> user_confirmed",
        "run echo 1 (confirmed)",
        "state user_confirmed",
        "ran echo 1: 1\n [0]",
        "state running",
        "agent: Done.",
        "turn ended: waiting",
        "state awaiting_user_input",
    ]
    assert events[accepted.id + 3].cause == again.id
    assert [message["role"] for message in harness.model.requests[1].messages[-2:]] == ["assistant", "tool"]


async def test_a_no_runs_nothing_and_waits(store: SessionStore) -> None:
    harness = scene(store, runs("echo 1 >> ran"), says("Why?"))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        accepted = await session.submit(NO)
        await rest()
        assert session.runtime is not None
        assert await session.runtime.files.list() == []
        assert outline((await harness.events())[accepted.id :]) == [
            "user -> user_rejected",
            "run echo 1 >> ran (rejected)",
            "state user_rejected",
            "user_rejected",
            "turn ended: waiting",
            "state awaiting_user_input",
        ]
        await ask(session, "because")
    [refused] = only(await harness.events(), UserRejectedObservation)
    assert refused.cause == accepted.id + 1
    results = [message["content"] for message in harness.model.requests[1].messages if message["role"] == "tool"]
    assert results == [refused.content]


async def test_the_first_answer_wins_and_later_ones_are_told_so(store: SessionStore) -> None:
    harness = scene(store, runs("echo 1"), says("Done."))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        answers = await asyncio.gather(
            *(session.submit(answer) for answer in (YES, NO, YES, NO)), return_exceptions=True
        )
        await state(session, "awaiting_user_input", 9)
    assert [isinstance(answer, NotAccepting) for answer in answers] == [False, True, True, True]
    told = await harness.told()
    assert "user -> user_rejected" not in told
    assert told.count("user -> user_confirmed") == 1


async def test_an_answer_to_another_question_is_refused(store: SessionStore) -> None:
    harness = scene(store, runs("echo 1"), runs("echo 2"), says("Done."))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        first = await pending(session)
        accepted = await session.submit(Answer(confirmed=True, action=first))
        await state(session, ASKED, accepted.id)
        for wrong in (first, EventId(accepted.id + 1), EventId(10_000)):
            with pytest.raises(NotAccepting):
                await session.submit(Answer(confirmed=True, action=wrong))
        assert await pending(session) != first
    assert len(named(await harness.events(), "echo 2")) == 1


async def test_a_message_instead_of_an_answer_is_a_no_and_its_reason(store: SessionStore) -> None:
    harness = scene(store, runs("echo 1 >> ran"), says("Sorry."))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        await ask(session, "not that way")
        assert session.runtime is not None
        assert await session.runtime.files.list() == []
    told = await harness.told()
    place = told.index("user -> user_rejected")
    assert told[place + 1 :] == [
        "run echo 1 >> ran (rejected)",
        "state user_rejected",
        "user_rejected",
        "turn ended: waiting",
        "user: not that way",
        "state running",
        "agent: Sorry.",
        "turn ended: waiting",
        "state awaiting_user_input",
    ]
    assert harness.model.requests[1].messages[-1]["content"] == "not that way"


async def test_a_stop_takes_the_question_back(store: SessionStore) -> None:
    harness = scene(store, runs("echo 1 >> ran"), says("On."))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        await session.submit(Stop())
        told = await harness.told()
        with pytest.raises(NotAccepting):
            await session.submit(YES)
        await ask(session, "continue")
    assert told[-5:] == [
        "user -> stopped",
        "run echo 1 >> ran (rejected)",
        "error AGENT_ERROR$ERROR_ACTION_NOT_EXECUTED",
        "turn ended: stopped",
        "state stopped",
    ]
    [error] = only(await harness.events(), ErrorObservation)
    assert [message["content"] for message in harness.model.requests[1].messages if message["role"] == "tool"] == [
        error.content
    ]


@pytest.mark.parametrize("answer", [YES, NO, SendMessage(content="no"), Stop()])
async def test_a_question_outlives_the_server(store: SessionStore, answer: Any) -> None:
    harness = scene(store, runs("echo 1"), says("Done."))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        question = await pending(session)
    before = await harness.told()
    async with harness.live() as session:
        assert await harness.told() == before
        assert await pending(session) == question
        accepted = await session.submit(answer)
        await state(session, "stopped" if answer == Stop() else "awaiting_user_input", accepted.id)
    assert ("ran echo 1: 1\n [0]" in await harness.told()) == (answer is YES)


async def test_a_yes_runs_the_action_although_the_sandbox_was_lost_meanwhile(store: SessionStore) -> None:
    runtimes = FakeRuntimes()
    harness = scene(store, runs("echo 1"), says("Done."))
    harness.runtimes = runtimes
    async with harness.live() as session:
        await ask(session, "go", ASKED)
    await runtimes.discard(TALK)
    async with harness.live() as session:
        accepted = await session.submit(YES)
        await state(session, "awaiting_user_input", accepted.id)
    assert "ran echo 1: 1\n [0]" in await harness.told()


async def test_what_the_user_said_before_the_question_came_outlives_the_no(
    store: SessionStore, gate: asyncio.Event
) -> None:
    held = FakeReply(calls=[FakeCall("execute_bash", {"command": "echo 1"})], hold=gate)
    harness = scene(store, held, says("To both."))
    async with harness.live() as session:
        await say(session, "one")
        await harness.model.asked(1)
        second = await say(session, "two")
        gate.set()
        await state(session, ASKED, second.id)
        accepted = await session.submit(NO)
        await harness.model.asked(2)
        await rest()
    assert (await harness.told())[-3:] == ["agent: To both.", "turn ended: waiting", "state awaiting_user_input"]
    assert accepted.id > second.id


async def test_harmless_calls_are_not_asked_about(store: SessionStore) -> None:
    view = FakeCall("str_replace_editor", {"command": "view", "path": "a"})
    harness = scene(store, FakeReply(calls=[FakeCall("think", {"thought": "hm"}), view]), finishes())
    async with harness.live() as session:
        await ask(session, "go", "finished")
    assert f"state {ASKED}" not in await harness.told()


async def test_an_edit_is_asked_about_and_done_once(store: SessionStore) -> None:
    create = FakeCall("str_replace_editor", {"command": "create", "path": "a.py", "file_text": "x"})
    harness = scene(store, FakeReply(calls=[create]), says("Done."))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        accepted = await session.submit(YES)
        await state(session, "awaiting_user_input", accepted.id)
        assert session.runtime is not None
        assert await session.runtime.files.read("a.py") == b"x"
    assert [edit.confirmation_state for edit in only(await harness.events(), EditAction)] == [
        ConfirmationState.AWAITING,
        ConfirmationState.CONFIRMED,
    ]


async def test_bad_calls_are_not_asked_about(store: SessionStore) -> None:
    harness = scene(store, FakeReply(calls=[FakeCall("execute_bash", "{")]), says("I see."))
    async with harness.live() as session:
        await ask(session, "go")
    assert f"state {ASKED}" not in await harness.told()


async def test_a_client_that_answers_one_action_is_asked_about_each_of_a_batch(store: SessionStore) -> None:
    harness = scene(store, runs("echo 1", "echo 2"), says("Done."))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        for last in (ASKED, "awaiting_user_input"):
            accepted = await session.submit(YES)
            await state(session, last, accepted.id)
    echoes = [event for event in only(await harness.events(), ChangeAgentStateAction) if event.source is Source.USER]
    assert len(echoes) == 2
    told = [line for line in await harness.told() if line.startswith(("run", "ran"))]
    assert told == [
        "run echo 1 (awaiting_confirmation)",
        "run echo 2 (awaiting_confirmation)",
        "run echo 1 (confirmed)",
        "ran echo 1: 1\n [0]",
        "run echo 2 (confirmed)",
        "ran echo 2: 2\n [0]",
    ]
    assert len(harness.model.requests) == 2


async def test_a_call_runs_as_the_user_has_edited_it_and_the_model_is_told(store: SessionStore) -> None:
    harness = scene(store, runs("rm -rf build"), says("Done."))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        answer = Answer(confirmed=True, action=await pending(session), arguments='{"command": "ls build"}')
        await state(session, "awaiting_user_input", (await session.submit(answer)).id)
    events = await harness.events()
    [asked], [ran] = named(events, "rm -rf build"), named(events, "ls build")
    assert [one.confirmation_state for one in (asked, ran)] == [ConfirmationState.AWAITING, ConfirmationState.CONFIRMED]
    assert ran.cause == asked.id
    messages: Any = harness.model.requests[1].messages
    call, result = messages[-2], messages[-1]
    assert call["tool_calls"][0]["function"]["arguments"] == '{"command": "rm -rf build"}'
    assert result["content"].startswith(
        '[The user changed the arguments of this call before it ran, to: {"command": "ls build"}]\n'
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [('{"command": 1}', "command"), ("{}", "command"), ('{"command": "ls", "is_input": "perhaps"}', "is_input")],
)
async def test_arguments_that_the_tool_does_not_take_change_nothing(
    store: SessionStore, arguments: str, told: str
) -> None:
    harness = scene(store, runs("echo 1"), says("Done."))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        question = await pending(session)
        head = session.event_stream.view.head
        with pytest.raises(BadInput, match=told):
            await session.submit(Answer(confirmed=True, action=question, arguments=arguments))
        assert (session.event_stream.view.pending, session.event_stream.view.head) == (question, head)
        accepted = await session.submit(Answer(confirmed=True, action=question))
        await state(session, "awaiting_user_input", accepted.id)


async def test_what_the_user_says_to_a_rejection_reaches_the_model(store: SessionStore) -> None:
    harness = scene(store, runs("rm -rf build"), says("I leave it."))
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        await session.submit(Answer(confirmed=False, feedback="The build is shared."))
        await ask(session, "go on")
    [refused] = only(await harness.events(), UserRejectedObservation)
    assert refused.content.endswith("The user says: The build is shared.")
    results = [message["content"] for message in harness.model.requests[1].messages if message["role"] == "tool"]
    assert results == [refused.content]
