"""A conversation goes on from a summary of messages that a client sent: all of it, once, or nothing."""

import asyncio
from typing import Any

import pytest

from openhands_sessions.core.commands import Stop
from openhands_sessions.core.dialogue import SEEDED
from openhands_sessions.core.errors import BadInput, ModelFailure, NotAccepting, Refusal
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.event import Source
from openhands_sessions.core.events.own import CallOutcome, CallPurpose, HistorySeededAction, ModelCalledObservation
from openhands_sessions.core.history_commands import Seed, Undo
from openhands_sessions.core.masking import MASK
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.history_moves import BUSY
from tests.fakes.model import FakeModel, FakeReply
from tests.support.history_steps import do, move_history
from tests.support.session_harness import SessionHarness, ask, only, say, says

TALK: tuple[Any, ...] = (
    {"role": "system", "content": "obey"},
    {"role": "user", "content": "we build a boat of ghp_" + "a1B2c3D4e5F6" * 3},
    "nonsense",
    {"role": "assistant", "content": "the hull is done"},
)
EARLIER = Seed(messages=TALK)


def scene(store: SessionStore, *replies: FakeReply) -> SessionHarness:
    return SessionHarness(store=store, model=FakeModel(replies))


async def test_the_agent_goes_on_from_a_marked_summary(store: SessionStore) -> None:
    harness = scene(store, says("They build a boat; the hull is done."), says("the sail!"), says("again"))
    async with harness.live() as session:
        seeded = await do(session, EARLIER, "k")
        assert isinstance(seeded, HistorySeededAction)
        assert (seeded.messages, seeded.skipped, seeded.dropped, seeded.left_out) == (2, 1, 1, 0)
        assert (seeded.source, seeded.author, seeded.turn) == (Source.USER, "ada", None)
        assert await do(session, EARLIER, "k") == seeded, "the same key seeds once"
        with pytest.raises(BadInput, match="another command"):
            await do(session, Seed(messages=TALK[:2]), "k")
        assert session.event_stream.view.processing is False
        await ask(session, "what is next?")
        asked, shown = (str(request.messages) for request in harness.model.requests)
        await move_history(session, Undo())
        await ask(session, "and now?")
    assert "the hull is done" in asked
    assert "obey" not in asked
    assert (MASK in asked, "ghp_" in asked) == (True, False)
    assert all(f"- {name}: " in asked for name in ("execute_bash", "str_replace_editor"))
    note = f"{SEEDED}\nThey build a boat; the hull is done."
    assert [message["content"] for message in harness.model.requests[-1].messages].count(note) == 1
    assert repr(note)[1:-1] in shown
    events = await harness.events()
    assert [event.content for event in only(events, MessageAction) if event.source is Source.USER] == [
        "what is next?",
        "and now?",
    ]
    calls = only(events, ModelCalledObservation)
    assert (calls[0].purpose, calls[0].outcome) == (CallPurpose.SEED, CallOutcome.ANSWERED)


@pytest.mark.parametrize("reply", [FakeReply(fail=ModelFailure("STATUS$ERROR", "no credit")), says("  ")])
async def test_a_model_that_fails_leaves_the_conversation_as_it_was(store: SessionStore, reply: FakeReply) -> None:
    harness = scene(store, reply, says("a boat"), says("on"))
    async with harness.live() as session:
        before = [event for event in await harness.events() if not isinstance(event, ModelCalledObservation)]
        with pytest.raises(NotAccepting, match=r"were not summed up: (no credit|The model wrote no summary)"):
            await do(session, EARLIER, "k")
        left = [event for event in await harness.events() if not isinstance(event, ModelCalledObservation)]
        assert left == before
        assert isinstance(await do(session, EARLIER, "k"), HistorySeededAction), "the key is free: nothing was done"
        await ask(session, "go")


async def test_what_the_model_finds_too_long_is_made_shorter(store: SessionStore) -> None:
    too_long = FakeReply(fail=ModelFailure("STATUS$ERROR", "too long", Refusal.TOO_LONG))
    harness = scene(store, too_long, too_long, says("a boat"))
    many = Seed(messages=tuple({"role": "user", "content": f"{number} {'x' * 500}"} for number in range(1_000)))
    async with harness.live() as session:
        seeded = await do(session, many)
    sizes = [len(str(request.messages)) for request in harness.model.requests]
    assert sizes == sorted(sizes, reverse=True)
    assert isinstance(seeded, HistorySeededAction)
    assert 0 < seeded.messages < 200
    assert seeded.messages + seeded.left_out == 1_000


async def test_nothing_to_sum_up_asks_no_model(store: SessionStore) -> None:
    harness = scene(store)
    async with harness.live() as session:
        with pytest.raises(BadInput, match="messages must hold"):
            await do(session, Seed(messages=(7, TALK[0])))
    assert harness.model.requests == []


async def test_it_is_refused_during_a_turn_and_a_stop_ends_it(store: SessionStore, gate: asyncio.Event) -> None:
    harness = scene(store, FakeReply(text="at work", hold=gate), FakeReply(text="a boat", hold=gate))
    async with harness.live() as session:
        await say(session, "go")
        await harness.model.asked(1)
        with pytest.raises(NotAccepting, match=BUSY):
            await do(session, EARLIER)
        await do(session, Stop())
        seeding = asyncio.create_task(session.submit(EARLIER))
        await harness.model.asked(2)
        await do(session, Stop())
        with pytest.raises(NotAccepting, match="stopped"):
            await seeding
    assert only(await harness.events(), HistorySeededAction) == []
