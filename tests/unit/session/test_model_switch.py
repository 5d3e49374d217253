"""Another model answers from the next turn on, in this conversation only."""

import asyncio
from typing import Any

import pytest

from openhands_sessions.core.commands import SendMessage, SetModel, Stop
from openhands_sessions.core.errors import BadInput, NotAccepting, StageFailed
from openhands_sessions.core.events.own import ModelChangedAction
from openhands_sessions.core.history_commands import Undo
from openhands_sessions.core.ids import OwnerId
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.command_handler import SubmittedCommand
from openhands_sessions.session.history_moves import BUSY
from openhands_sessions.session.idempotency import IdempotencyKey
from openhands_sessions.session.model_switch import NO_MODEL, PENDING
from tests.fakes.model import FakeModel, FakeReply
from tests.fakes.store import MortalStore
from tests.support.history_steps import move_history
from tests.support.session_harness import LONG, SessionHarness, ask, only, runs, say, says, state, turn_ended

OTHER = SetModel("other")
SIGNED: Any = {"thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}]}


def scene(store: SessionStore, *replies: FakeReply, other: tuple[FakeReply, ...] = (), **more: Any) -> SessionHarness:
    return SessionHarness(
        store=store, model=FakeModel(replies), others=(FakeModel(other, name="other"),), settings=more
    )


async def test_the_next_turn_is_answered_by_the_other_model(store: SessionStore) -> None:
    harness = scene(store, says("One."), other=(says("Two."),))
    [other] = harness.others
    async with harness.live() as session:
        await ask(session, "first")
        accepted = await session.submit(OTHER, author=OwnerId("ada"))
        assert accepted.turn is None
        assert session.settings.llm_model == "other"
        assert session.agent is not None
        assert session.agent.model == "other"
        await ask(session, "second")
    assert len(harness.model.requests) == len(other.requests) == 1
    assert [str(message["content"]) for message in other.requests[0].messages][-3:] == ["first", "One.", "second"]
    [changed] = only(await harness.events(), ModelChangedAction)
    assert (changed.id, changed.author, changed.model, changed.former) == (accepted.id, "ada", "other", "fake")


async def test_a_session_that_is_revived_has_the_model_that_was_chosen_last(store: SessionStore) -> None:
    harness = scene(store, says("One."), other=(says("Two."),))
    async with harness.live() as session:
        await ask(session, "first")
        await session.submit(OTHER)
        await session.submit(SetModel("fake"))
        await session.submit(OTHER)
    async with harness.live() as session:
        assert session.settings.llm_model == "other"
        await ask(session, "second")
    assert (await harness.told())[-3] == "agent: Two."


async def test_it_is_refused_during_a_turn_and_while_an_action_awaits_an_answer(
    store: SessionStore, gate: asyncio.Event
) -> None:
    harness = scene(store, FakeReply(text="One.", hold=gate), runs("ls"), confirmation_mode=True)
    async with harness.live() as session:
        first = await say(session, "first")
        await harness.model.asked(1)
        with pytest.raises(NotAccepting, match=BUSY):
            await session.submit(OTHER)
        gate.set()
        await state(session, "awaiting_user_input", first.id)
        await ask(session, "second", "awaiting_user_confirmation")
        with pytest.raises(NotAccepting, match=PENDING):
            await session.submit(OTHER)
    assert only(await harness.events(), ModelChangedAction) == []


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nosuch", "model cannot be used: There is no model 'nosuch'."),
        ("two\nlines", "model is wrong: .*one line"),
        ("x" * 300, "model is wrong"),
    ],
)
async def test_a_model_that_cannot_be_opened_changes_nothing(store: SessionStore, name: str, problem: str) -> None:
    harness = scene(store, says("One."), says("Two."))
    async with harness.live() as session:
        await ask(session, "first")
        with pytest.raises(BadInput, match=problem) as refused:
            await session.submit(SetModel(name))
        assert refused.value.field == "model"
        await ask(session, "second")
    assert only(await harness.events(), ModelChangedAction) == []


async def test_an_agent_without_a_model_gets_none(store: SessionStore) -> None:
    harness = scene(store, agent="shell")
    async with harness.live() as session:
        with pytest.raises(BadInput, match=NO_MODEL):
            await session.submit(OTHER)


async def test_a_key_that_comes_again_changes_nothing_twice(store: SessionStore) -> None:
    harness = scene(store)
    async with harness.live() as session:
        key = IdempotencyKey.of("k", OTHER)
        first = await session.submit(OTHER, key)
        assert await session.submit(OTHER, key) == first
        await session.submit(SetModel("fake"))
        assert await session.submit(OTHER, key) == first
        assert session.settings.llm_model == "fake"
    assert len(only(await harness.events(), ModelChangedAction)) == 2


async def test_what_the_provider_of_one_model_has_given_is_not_given_to_the_other(store: SessionStore) -> None:
    harness = scene(
        store, FakeReply(text="One.", extra=SIGNED), says("Three."), other=(FakeReply(text="Two.", extra=SIGNED),)
    )
    [other] = harness.others
    async with harness.live() as session:
        await ask(session, "first")
        await session.submit(OTHER)
        await ask(session, "second")
        await session.submit(SetModel("fake"))
        await ask(session, "third")
    assert not any("thinking_blocks" in message for message in other.requests[0].messages)
    shown = {str(message["content"]): message for message in harness.model.requests[1].messages}
    assert "thinking_blocks" in shown["One."]
    assert "thinking_blocks" not in shown["Two."]


async def test_a_move_of_the_history_leaves_the_model_as_it_is(store: SessionStore) -> None:
    harness = scene(store, says("One."), says("Two."), other=(says("Again."),))
    async with harness.live() as session:
        await ask(session, "first")
        second = await say(session, "second")
        await state(session, "awaiting_user_input", second.id)
        await session.submit(OTHER)
        await move_history(session, Undo())
        assert session.settings.llm_model == "other"
    async with harness.live() as session:
        assert session.event_stream.view.model == "other"
        await ask(session, "second, otherwise")
    assert (await harness.told())[-3] == "agent: Again."


async def test_a_queued_message_is_answered_by_the_model_that_is_chosen_before_its_turn(
    store: SessionStore, gate: asyncio.Event
) -> None:
    harness = scene(store, FakeReply(text="One.", hold=gate), other=(says("Two."), says("Three.")))
    async with harness.live() as session:
        await say(session, "first")
        await harness.model.asked(1)
        queued = await session.submit(SendMessage(content="second", mode="queue"))
        await session.submit(Stop())
        await session.submit(OTHER)
        await ask(session, "go on")
        await turn_ended(session, queued.turn)
    assert (await harness.told())[-3] == "agent: Three."


@pytest.mark.parametrize("stored", [True, False])
async def test_a_server_that_dies_at_the_switch_leaves_one_model_or_the_other(
    store: SessionStore, stored: bool
) -> None:
    harness = scene(store, says("One."))
    async with harness.live() as session:
        await ask(session, "first")
    mortal = MortalStore(store, dies_at=0, stored=stored)
    async with harness.killed(mortal) as session:
        async with asyncio.timeout(LONG):
            await session.settled()
        switching = asyncio.create_task(session.submit(OTHER))
    switching.cancel()
    async with harness.live() as session:
        assert session.settings.llm_model == ("other" if stored else "fake")


async def test_images_may_be_sent_as_soon_as_the_model_looks_at_them(store: SessionStore) -> None:
    harness = scene(store, says("One."))
    harness.model.vision = False
    async with harness.live() as session:
        assert session.controller is not None
        assert not session.controller.sees(None)
        await session.submit(OTHER)
        assert session.controller.sees(None)


async def test_a_conversation_whose_model_is_gone_takes_another_one(store: SessionStore) -> None:
    harness = scene(store, says("One."))
    async with harness.live() as session:
        await session.submit(OTHER)
    harness.others = ()
    async with harness.live() as session:
        assert isinstance(session.problem, StageFailed)
        with pytest.raises(BadInput, match="There is no model 'nosuch'"):
            await session.switch_failed(SubmittedCommand(SetModel("nosuch")), SetModel("nosuch"))
        back = SetModel("fake")
        accepted = await session.switch_failed(SubmittedCommand(back, author=OwnerId("ada")), back)
    async with harness.live() as session:
        await ask(session, "hello")
    changed = only(await harness.events(), ModelChangedAction)[-1]
    assert (changed.id, changed.author, changed.former) == (accepted.id, "ada", "other")
    assert (await harness.told())[-3] == "agent: One."
