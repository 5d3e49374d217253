"""Whole turns, from a message to the agent's last word."""

import asyncio
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from openhands_sessions.core.errors import ModelFailure
from openhands_sessions.core.events.actions import FinishAction, MessageAction, RunAction, ThinkAction
from openhands_sessions.core.events.event import Action, Source
from openhands_sessions.core.events.observations import (
    BAD_CALL_ID,
    AgentStateChangedObservation,
    ErrorObservation,
    RunObservation,
)
from openhands_sessions.core.events.own import InvalidCallAction, StopReason, ToolCallsAction, TurnEndedObservation
from openhands_sessions.core.money import dollars
from openhands_sessions.ports.gateway import Delta, Status
from openhands_sessions.ports.model import Retry
from openhands_sessions.ports.store import SessionStore
from tests.fakes.model import FAKE_COST, FakeCall, FakeModel, FakeReply
from tests.fakes.runtime import FakeRuntimes
from tests.support.session_harness import (
    LONG,
    SessionHarness,
    arguments,
    ask,
    events_of,
    finishes,
    only,
    outline,
    runs,
    say,
    says,
    state,
)

BEGIN = ["state loading", "system", "environment -> awaiting_user_input", "state awaiting_user_input"]


def scene(store: SessionStore, *replies: FakeReply, **settings: Any) -> SessionHarness:
    runtimes = FakeRuntimes({"ls": ("a b", 0), "make": ("broken", 2)})
    return SessionHarness(store=store, model=FakeModel(replies), runtimes=runtimes, settings=settings)


async def test_the_agent_speaks_and_waits(store: SessionStore) -> None:
    harness = scene(store, says("Hello!"))
    async with harness.live() as session:
        await ask(session, "hi")
    assert await harness.told() == [
        *BEGIN,
        "user: hi",
        "recall",
        "state running",
        "recall",
        "agent: Hello!",
        "turn ended: waiting",
        "state awaiting_user_input",
    ]


async def test_the_agent_finishes(store: SessionStore) -> None:
    harness = scene(store, finishes("All done."))
    async with harness.live() as session:
        await ask(session, "hi", "finished")
    events = await harness.events()
    [finish] = only(events, FinishAction)
    assert finish.final_thought == "All done."
    assert outline(events)[-3:] == ["finish", "turn ended: done", "state finished"]


async def test_a_command_is_run_and_its_result_decided_on(store: SessionStore) -> None:
    harness = scene(store, runs("ls", text="I look."), says("Two files."))
    async with harness.live() as session:
        await ask(session, "what is here?")
    events = await harness.events()
    assert outline(events)[8:] == [
        "run ls (confirmed)",
        "ran ls: a b [0]",
        "agent: Two files.",
        "turn ended: waiting",
        "state awaiting_user_input",
    ]
    [action], [observation] = only(events, RunAction), only(events, RunObservation)
    assert (observation.cause, action.source, observation.source) == (action.id, Source.AGENT, Source.AGENT)
    assert action.thought == "I look."
    result = harness.model.requests[1].messages[-1]
    assert result["role"] == "tool"
    assert str(result["content"]).startswith("a b")


async def test_several_calls_of_a_reply_are_planned_and_done_in_order(store: SessionStore) -> None:
    harness = scene(store, runs("ls", "make", "pwd", text="Three things."), says("Done."))
    async with harness.live() as session:
        await ask(session, "go")
    events = await harness.events()
    assert outline(events)[8:15] == [
        "3 calls",
        "run ls (confirmed)",
        "ran ls: a b [0]",
        "run make (confirmed)",
        "ran make: broken [2]",
        "run pwd (confirmed)",
        "ran pwd: /workspace\n [0]",
    ]
    [planned] = only(events, ToolCallsAction)
    metadata = [action.tool_call_metadata for action in only(events, RunAction)]
    assert [call.tool_call_id for call in metadata if call] == [call.id for call in planned.calls]
    assert {call.total_calls_in_response for call in metadata if call} == {3}
    assert [action.thought for action in only(events, RunAction)] == ["Three things.", "", ""]
    assert [message["role"] for message in harness.model.requests[1].messages[-4:]] == ["assistant", *["tool"] * 3]


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (FakeCall("dance", {}), "does not exist; there are: execute_bash, str_replace_editor"),
        (FakeCall("execute_bash", '{"command": '), "not JSON"),
        (FakeCall("execute_bash", '["ls"]'), "not list"),
        (FakeCall("execute_bash", '"ls"'), "not str"),
        (FakeCall("execute_bash", "null"), "command is required"),
        (FakeCall("execute_bash", ""), "command is required"),
        (FakeCall("execute_bash", " \n"), "command is required"),
        (FakeCall("execute_bash", {"command": 7}), "command is wrong"),
        (FakeCall("execute_bash", {"command": "a\0b"}), "NUL"),
        (FakeCall("str_replace_editor", {"command": "create", "path": "a"}), "file_text is needed by create"),
        (FakeCall("", "{}"), "does not exist"),
    ],
)
async def test_a_call_that_cannot_be_carried_out_is_an_error_that_the_agent_reads(
    store: SessionStore, call: FakeCall, problem: str
) -> None:
    harness = scene(store, FakeReply(calls=[call]), says("I see."))
    async with harness.live() as session:
        await ask(session, "go")
    events = await harness.events()
    assert outline(events)[8:11] == ["invalid call", f"error {BAD_CALL_ID}", "agent: I see."]
    [invalid], [error] = only(events, InvalidCallAction), only(events, ErrorObservation)
    assert error.cause == invalid.id
    assert problem in error.content
    assistant, result = harness.model.requests[1].messages[-2:]
    assert result["content"] == error.content
    assert assistant["role"] == "assistant"


async def test_one_bad_call_does_not_spoil_the_others(store: SessionStore) -> None:
    calls = [FakeCall("execute_bash", {"command": "ls"}), FakeCall("dance", "{"), FakeCall("think", {"thought": "hm"})]
    harness = scene(store, FakeReply(calls=calls), says("Done."))
    async with harness.live() as session:
        await ask(session, "go")
    assert outline(await harness.events())[9:15] == [
        "run ls (confirmed)",
        "ran ls: a b [0]",
        "invalid call",
        f"error {BAD_CALL_ID}",
        "think",
        "think",
    ]


async def test_what_is_said_beside_a_thought_is_kept(store: SessionStore) -> None:
    thinks = FakeReply(text="Let me think.", calls=[FakeCall("think", {"thought": "hm"})])
    harness = scene(store, thinks, says("Done."))
    async with harness.live() as session:
        await ask(session, "go")
    events = await harness.events()
    assert outline(events)[8:11] == ["think", "think", "agent: Done."]
    [thought] = only(events, ThinkAction)
    assert thought.thought == "Let me think.\nhm"
    assistant, result = harness.model.requests[1].messages[-2:]
    assert (assistant["content"], result["role"]) == ("Let me think.", "tool")
    assert arguments(assistant) == ['{"thought": "hm"}']


@pytest.mark.parametrize(
    "reply",
    [
        runs("ls", "make"),
        FakeReply(text="Let me think.", calls=[FakeCall("think", {"thought": "hm"})]),
        FakeReply(calls=[FakeCall("dance", "{"), FakeCall("execute_bash", {"command": "ls"})]),
    ],
    ids=["several calls", "a thought and text", "a bad call first"],
)
async def test_every_action_of_a_reply_says_what_was_used_and_it_counts_once(
    store: SessionStore, reply: FakeReply
) -> None:
    harness = scene(store, reply, says("Done."))
    async with harness.live() as session:
        await ask(session, "go")
        view = session.event_stream.view
    events = await harness.events()
    calls: list[Any] = [event.llm_metrics for event in only(events, Action) if event.tool_call_metadata is not None]
    assert [one["accumulated_cost"] for one in calls] == [dollars(FAKE_COST)] * len(reply.calls)
    assert view.spent.cost == 2 * FAKE_COST
    assert [ended.iterations for ended in only(events, TurnEndedObservation)] == [2]


async def test_an_edit_and_a_read_are_done_in_the_sandbox(store: SessionStore) -> None:
    create = FakeCall("str_replace_editor", {"command": "create", "path": "a.py", "file_text": "x = 1\n"})
    view = FakeCall("str_replace_editor", {"command": "view", "path": "/workspace/a.py"})
    missing = FakeCall("str_replace_editor", {"command": "view", "path": "../secret"})
    harness = scene(store, FakeReply(calls=[create]), FakeReply(calls=[view]), FakeReply(calls=[missing]), says("Ok."))
    async with harness.live() as session:
        await ask(session, "go")
    told = outline(await harness.events())[8:14]
    assert told == ["edit", "edit", "read", "read", "read", "error AGENT_ERROR$TOOL_FAILED"]
    assert "x = 1" in str(harness.model.requests[2].messages[-1]["content"])


async def test_what_the_user_says_during_a_turn_is_seen_by_the_next_step(store: SessionStore) -> None:
    harness = scene(store, runs("ls"), says("Both."))
    async with harness.live() as session:
        first = await say(session, "one")
        await say(session, "two")
        await state(session, "awaiting_user_input", first.id)
    last = harness.model.requests[-1].messages
    assert [message["content"] for message in last if message["role"] == "user"] == ["one", "two"]
    assert (await harness.told()).count("turn ended: waiting") == 1


async def test_what_the_user_says_while_the_agent_speaks_is_taken_up_before_it_rests(
    store: SessionStore, gate: asyncio.Event
) -> None:
    harness = scene(store, FakeReply(text="Thinking of one.", hold=gate), says("And two."))
    async with harness.live() as session:
        first = await say(session, "one")
        await harness.model.asked(1)
        await say(session, "two")
        gate.set()
        await state(session, "awaiting_user_input", first.id)
    told = await harness.told()
    assert told[8:] == [
        "user: two",
        "agent: Thinking of one.",
        "agent: And two.",
        "turn ended: waiting",
        "state awaiting_user_input",
    ]


async def test_a_finish_that_the_user_spoke_into_is_not_the_end(store: SessionStore, gate: asyncio.Event) -> None:
    harness = scene(store, FakeReply(calls=[FakeCall("finish", {"message": "done"})], hold=gate), says("Right, two."))
    async with harness.live() as session:
        first = await say(session, "one")
        await harness.model.asked(1)
        await say(session, "two")
        gate.set()
        await state(session, "awaiting_user_input", first.id)
    assert (await harness.told())[8:11] == ["user: two", "finish", "agent: Right, two."]
    assert [message["role"] for message in harness.model.requests[1].messages[-3:]] == ["user", "assistant", "tool"]


async def test_a_model_that_says_nothing_is_an_error_that_the_user_can_mend(store: SessionStore) -> None:
    harness = scene(store, FakeReply(text="  "), FakeReply(), says("Here I am."))
    async with harness.live() as session:
        last = await ask(session, "go", "error")
        event = (await harness.events())[last]
        assert isinstance(event, AgentStateChangedObservation)
        assert event.reason.startswith("The model answered with nothing")
        await ask(session, "continue")
    assert "turn ended: error" in await harness.told()


@pytest.mark.parametrize(
    ("status", "last"),
    [
        ("STATUS$ERROR_LLM_AUTHENTICATION", "error"),
        ("CHAT_INTERFACE$AGENT_RATE_LIMITED_STOPPED_MESSAGE", "rate_limited"),
    ],
)
async def test_a_model_that_fails_ends_the_turn_and_the_next_message_begins_one(
    store: SessionStore, status: str, last: str
) -> None:
    harness = scene(store, FakeReply(fail=ModelFailure(status, "The key is wrong.")), says("Better."))
    async with harness.live() as session:
        await ask(session, "go", last)
        await ask(session, "again")
    events = await harness.events()
    ended = only(events, TurnEndedObservation)
    assert [one.stop_reason for one in ended] == [StopReason.ERROR, StopReason.WAITING]
    [failed] = [one for one in only(events, AgentStateChangedObservation) if one.agent_state == last]
    assert failed.reason == "The key is wrong."


async def test_what_streams_is_told_while_it_comes_and_not_stored(store: SessionStore, gate: asyncio.Event) -> None:
    retry = Retry(attempt=1, wait=2.0, problem="busy")
    harness = scene(store, FakeReply(text="Hello there.", retries=[retry], hold=gate))
    async with harness.live() as session:
        told: list[Delta | Status] = []
        accepted = await say(session, "hi")
        following = session.event_stream.feed.follow(accepted.id)
        async with asyncio.timeout(LONG), aclosing(following):
            async for news in following:
                if isinstance(news, Delta | Status):
                    told.append(news)
                if isinstance(news, Delta):
                    gate.set()
                elif any(isinstance(event, MessageAction) for event in events_of(news)):
                    break
    assert told[0] == Status("info", "STATUS$LLM_RETRY", "Try 1 failed, the next is in 2 s.")
    assert [replace(each, key="") for each in told[1:] if isinstance(each, Delta)] == [Delta("reply", "", 0, "Hello ")]


async def test_the_output_of_a_command_is_told_while_it_runs(store: SessionStore, gate: asyncio.Event) -> None:
    harness = scene(store, runs("slow"), says("Ok."))
    harness.runtimes = FakeRuntimes({"slow": ("one\n", 0)}, {"slow": gate})
    async with harness.live() as session:
        accepted = await say(session, "hi")
        following = session.event_stream.feed.follow(accepted.id)
        async with asyncio.timeout(LONG), aclosing(following):
            async for news in following:
                if isinstance(news, Delta):
                    break
        gate.set()
        await state(session, "awaiting_user_input", accepted.id)
    [action] = only(await harness.events(), RunAction)
    assert news == Delta("output", str(action.id), 0, "one\n")


async def test_usage_is_added_up_over_the_conversation(store: SessionStore) -> None:
    harness = scene(store, runs("ls"), says("One."), says("Two."))
    async with harness.live() as session:
        await ask(session, "one")
        await ask(session, "two")
        assert session.event_stream.view.spent.cost == 3 * FAKE_COST
    metrics: list[Any] = [event.llm_metrics for event in await harness.events() if event.llm_metrics]
    assert [one["accumulated_token_usage"]["prompt_tokens"] for one in metrics] == [10, 20, 30]
    assert metrics[-1]["accumulated_cost"] == dollars(3 * FAKE_COST)
