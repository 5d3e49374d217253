"""The user has the history compacted: it says what that gained, and a stop ends it."""

import asyncio
from typing import Any

import pytest

from openhands_sessions.core.commands import Stop
from openhands_sessions.core.errors import ModelFailure, NotAccepting
from openhands_sessions.core.events.actions import CondensationAction
from openhands_sessions.core.events.own import HistoryCompactedAction
from openhands_sessions.core.history_commands import Compact, GoBack, Undo
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.history_moves import COMPACTING
from tests.fakes.model import FakeModel, FakeReply
from tests.support.history_steps import do, messages_of_user, move_history
from tests.support.session_harness import SessionHarness, ask, only, says


def scene(store: SessionStore, *replies: FakeReply) -> SessionHarness:
    return SessionHarness(store=store, model=FakeModel(replies))


async def test_compacting_says_how_much_it_shrank_and_is_seen_by_the_model(store: SessionStore) -> None:
    replies = [says(f"{n}! " + "many words " * 40) for n in range(10)]
    harness = scene(store, *replies, says("the summary"), says("after"))
    async with harness.live() as session:
        for n in range(10):
            await ask(session, f"turn {n}")
        told = await do(session, Compact(), "k")
        made = only(await harness.events(), HistoryCompactedAction)[-1]
        assert isinstance(told, CondensationAction)
        assert made.characters_after < made.characters_before
        assert f"from {made.characters_before:,} to {made.characters_after:,}" in made.told
        assert await do(session, Compact(), "k") == told
        await ask(session, "last")
        shown: Any = harness.model.requests[-1].messages
        assert any("the summary" in str(message["content"]) for message in shown)
        await move_history(session, Undo())
        harness.model.play(says("x"))
        await ask(session, "once more")
        shown = harness.model.requests[-1].messages
        assert any("the summary" in str(message["content"]) for message in shown)
        back = await move_history(session, GoBack(message=messages_of_user(await harness.events())[9].id))
        assert session.event_stream.view.condensed is None
        assert back.left_branch


async def test_compacting_a_short_conversation_says_that_there_is_nothing_to_do(store: SessionStore) -> None:
    harness = scene(store, says("one!"))
    async with harness.live() as session:
        await ask(session, "one")
        told = await do(session, Compact())
    assert isinstance(told, HistoryCompactedAction)
    assert (told.characters_before, told.events_before) == (told.characters_after, told.events_after)
    assert "nothing to compact" in told.told


async def test_a_compaction_is_stopped_as_a_turn_is_and_moves_wait_for_it(
    store: SessionStore, gate: asyncio.Event
) -> None:
    harness = scene(store, *[says(f"{n}! " + "many words " * 40) for n in range(10)])
    async with harness.live() as session:
        for n in range(10):
            await ask(session, f"turn {n}")
        harness.model.play(FakeReply(text="a summary", hold=gate))
        compacting = asyncio.create_task(session.submit(Compact()))
        await harness.model.asked(11)
        with pytest.raises(NotAccepting, match=COMPACTING):
            await do(session, Undo())
        await do(session, Stop())
        with pytest.raises(NotAccepting, match="stopped"):
            await compacting
        assert only(await harness.events(), CondensationAction) == []
        await move_history(session, Undo())


async def test_a_compaction_that_the_model_refuses_changes_nothing(store: SessionStore) -> None:
    harness = scene(store, *[says(f"{n}! " + "many words " * 40) for n in range(10)])
    async with harness.live() as session:
        for n in range(10):
            await ask(session, f"turn {n}")
        harness.model.play(FakeReply(fail=ModelFailure("STATUS$ERROR", "no credit")))
        with pytest.raises(NotAccepting, match="no credit"):
            await do(session, Compact())
        harness.model.play(says("on"))
        await ask(session, "on")
    assert only(await harness.events(), CondensationAction) == []
