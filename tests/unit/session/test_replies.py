"""What a model says beside its answer: kept, given back to it, and with an effect where its answer is not whole."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any

import pytest

from openhands_sessions.core.dialogue import CUT, MALFORMED, NUDGE
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.observations import AgentStateChangedObservation, ErrorObservation
from openhands_sessions.core.events.own import ModelReplyAction
from openhands_sessions.ports.gateway import Delta
from openhands_sessions.ports.store import SessionStore
from tests.fakes.model import FAKE_COST, FAKE_USAGE, FakeCall, FakeModel, FakeReply
from tests.fakes.runtime import FakeRuntimes
from tests.support.session_harness import LONG, SessionHarness, ask, only, say, says, state

SIGNED: Mapping[str, Any] = {
    "reasoning_content": "hm",
    "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "c2ln"}],
}


def scene(store: SessionStore, *replies: FakeReply, **settings: Any) -> SessionHarness:
    return SessionHarness(store=store, model=FakeModel(replies), runtimes=FakeRuntimes(), settings=settings)


def look(beside: Mapping[str, Any] | None = None, **about: Any) -> FakeReply:
    return FakeReply(calls=[FakeCall("execute_bash", {"command": "ls"}, beside or {})], **about)


def assistants(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [message for message in messages if message["role"] == "assistant"]


async def test_what_came_beside_a_call_is_given_back_with_it(store: SessionStore) -> None:
    harness = scene(store, look({"extra_content": {"sig": "S"}}, extra=SIGNED, thoughts="hm"), says("Done."))
    async with harness.live() as session:
        await ask(session, "go")
    [spoken] = assistants(harness.model.requests[1].messages)
    assert {name: spoken[name] for name in SIGNED} == SIGNED
    [call] = spoken["tool_calls"]
    assert (call["extra_content"], call["function"]["name"]) == ({"sig": "S"}, "execute_bash")


async def test_what_came_beside_a_text_is_given_back_with_it_also_after_a_restart(store: SessionStore) -> None:
    harness = scene(store, says("Hello.", extra=SIGNED, thoughts="hm"), says("Again."))
    async with harness.live() as session:
        await ask(session, "hi")
    async with harness.live() as session:
        await ask(session, "more")
    [spoken] = assistants(harness.model.requests[1].messages)
    assert spoken == {**SIGNED, "role": "assistant", "content": "Hello."}


async def test_another_model_is_not_given_what_the_first_one_said_beside_its_answer(store: SessionStore) -> None:
    first = scene(store, look({"extra_content": {"sig": "S"}}, extra=SIGNED, thoughts="hm"), says("Done."))
    async with first.live() as session:
        await ask(session, "go")
    other = SessionHarness(
        store=store,
        model=FakeModel([says("Yes.")], name="other"),
        runtimes=FakeRuntimes(),
        settings={"llm_model": "other"},
    )
    async with other.live() as session:
        await ask(session, "and now?")
    for spoken in assistants(other.model.requests[0].messages):
        assert not SIGNED.keys() & spoken.keys()
        assert all("extra_content" not in call for call in spoken.get("tool_calls", ()))


async def test_thoughts_are_deltas_of_their_own_and_never_the_answer(store: SessionStore) -> None:
    gate, told = asyncio.Event(), list[Delta]()
    harness = scene(store, says("Hello there.", thoughts="I greet.", hold=gate))
    async with harness.live() as session:
        accepted = await say(session, "hi")
        following = session.event_stream.feed.follow(accepted.id)
        async with asyncio.timeout(LONG), aclosing(following):
            async for item in following:
                if isinstance(item, Delta):
                    told.append(item)
                if len(told) == 2:
                    break
        gate.set()
        await state(session, "awaiting_user_input", accepted.id)
    assert {(item.kind, item.text) for item in told} == {("thought", "I greet."), ("reply", "Hello ")}
    events = await harness.events()
    [kept], [_, said] = only(events, ModelReplyAction), only(events, MessageAction)
    assert (kept.thoughts, said.content) == ("I greet.", "Hello there.")


async def test_a_plain_reply_leaves_nothing_beside_it(store: SessionStore) -> None:
    harness = scene(store, look(finish="tool_calls"), says("Done.", finish="stop"))
    async with harness.live() as session:
        await ask(session, "go")
    assert only(await harness.events(), ModelReplyAction) == []


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_a_cut_answer_is_told_to_the_user_and_to_the_model(store: SessionStore, reason: Any) -> None:
    harness = scene(store, says("You sho", finish=reason), says("uld wait."))
    async with harness.live() as session:
        last = await ask(session, "what?")
        state = (await harness.events())[last]
        assert isinstance(state, AgentStateChangedObservation)
        assert "answer is cut" in state.reason
        await ask(session, "continue")
    said = [message["content"] for message in harness.model.requests[1].messages]
    assert said[said.index("You sho") + 1] == CUT[reason]


async def test_cut_arguments_are_shown_to_the_model_as_it_wrote_them_with_the_reason(store: SessionStore) -> None:
    cut = FakeReply(calls=[FakeCall("execute_bash", '{"command": "echo so')], finish="length")
    harness = scene(store, cut, says("Shorter then."))
    async with harness.live() as session:
        await ask(session, "go")
    [error] = only(await harness.events(), ErrorObservation)
    assert CUT["length"] in error.content
    spoken, result = harness.model.requests[1].messages[-2:]
    assert MALFORMED in str(spoken["tool_calls"])
    assert "echo so" in str(spoken["tool_calls"])
    assert result["content"] == error.content


async def test_a_turn_that_is_stuck_because_each_reply_is_cut_says_so(store: SessionStore) -> None:
    cut = FakeReply(calls=[FakeCall("execute_bash", '{"command": "echo so')], finish="length")
    harness = scene(store, *[cut] * 10)
    async with harness.live() as session:
        await ask(session, "go")
    [reason] = [one.reason for one in only(await harness.events(), AgentStateChangedObservation) if one.reason]
    assert "reaches the limit of its output" in reason


async def test_a_model_that_only_thinks_is_asked_once_more(store: SessionStore) -> None:
    harness = scene(store, FakeReply(thoughts="hm", extra=SIGNED), says("Here."))
    async with harness.live() as session:
        await ask(session, "go")
    assert harness.model.requests[1].messages[-1] == {"role": "user", "content": NUDGE}


async def test_the_usage_of_every_reply_counts_whatever_became_of_it(store: SessionStore) -> None:
    harness = scene(store, FakeReply(thoughts="hm"), FakeReply(), says("Here."))
    async with harness.live() as session:
        await ask(session, "go", "error")
        await ask(session, "continue")
        view = session.event_stream.view
    assert view.spent.cost == 3 * FAKE_COST
    assert view.spent.prompt_tokens == 3 * FAKE_USAGE.prompt_tokens


async def test_a_budget_ends_a_turn_of_empty_replies(store: SessionStore) -> None:
    harness = scene(store, FakeReply(thoughts="hm"), says("never"), max_budget_per_task=0.0005)
    async with harness.live() as session:
        await ask(session, "go", "error")
    assert len(harness.model.requests) == 1
