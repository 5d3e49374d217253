"""During a turn a message steers it, or waits for a turn of its own; each event tells its turn."""

import asyncio
from typing import Literal

import pytest

from openhands_sessions.core.commands import EditQueued, Pause, RemoveQueued, Resume, SendMessage, Stop
from openhands_sessions.core.errors import BadInput, NotAccepting
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.event import Event, Source
from openhands_sessions.core.events.own import (
    DropReason,
    MessageQueuedAction,
    QueuedMessagesDroppedAction,
    StopReason,
    TurnEndedObservation,
)
from openhands_sessions.core.history_commands import EditMessage, Undo
from openhands_sessions.core.ids import EventId, OwnerId
from openhands_sessions.ports.gateway import Accepted
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.agent_session import AgentSession
from openhands_sessions.session.idempotency import IdempotencyKey
from openhands_sessions.session.message_queue import MOST_QUEUED
from tests.fakes.model import FakeModel, FakeReply
from tests.support.session_harness import LONG, SessionHarness, only, rest, runs, say, says, state, turn_ended, until


def scene(store: SessionStore, *replies: FakeReply) -> SessionHarness:
    return SessionHarness(store=store, model=FakeModel(replies))


async def send(session: AgentSession, text: str, mode: Literal["steer", "queue"] = "queue", key: str = "") -> Accepted:
    named = IdempotencyKey.of(key, SendMessage(content=text, mode=mode)) if key else None
    return await session.submit(SendMessage(content=text, mode=mode), named, OwnerId("mia"))


async def words(harness: SessionHarness) -> list[str]:
    return [f"{said.source}: {said.content}" for said in only(await harness.events(), MessageAction)]


def of_turn(events: list[Event], turn: int | None) -> list[str]:
    return [event.describe() for event in events if event.turn == turn and isinstance(event, MessageAction)]


async def test_a_queued_message_waits_for_the_running_turn_and_gets_one_of_its_own(
    store: SessionStore, gate: asyncio.Event
) -> None:
    harness = scene(store, says("One.", hold=gate), says("Two."), says("Three."))
    async with harness.live() as session:
        first = await say(session, "one")
        await harness.model.asked(1)
        second, third = await send(session, "two"), await send(session, "three")
        view = session.event_stream.view
        assert [one.id for one in view.queued] == [second.turn, third.turn]
        assert view.processing
        gate.set()
        await turn_ended(session, third.turn)
        assert not session.event_stream.view.queued
    assert (second.id, third.id) == (second.turn, third.turn)
    assert await words(harness) == [
        "user: one",
        "agent: One.",
        "user: two",
        "agent: Two.",
        "user: three",
        "agent: Three.",
    ]
    events = await harness.events()
    for accepted, said in ((first, "one"), (second, "two"), (third, "three")):
        assert of_turn(events, accepted.turn)[0] == said
    assert len({event.turn for event in only(events, TurnEndedObservation)}) == 3


async def test_a_message_to_queue_begins_at_once_where_nothing_runs(store: SessionStore) -> None:
    harness = scene(store, says("One."))
    async with harness.live() as session:
        accepted = await send(session, "one")
        await turn_ended(session, accepted.turn)
    assert not only(await harness.events(), MessageQueuedAction)


async def test_a_steering_message_belongs_to_the_running_turn(store: SessionStore, gate: asyncio.Event) -> None:
    harness = scene(store, says("One.", hold=gate), says("Both."))
    async with harness.live() as session:
        first = await say(session, "one")
        await harness.model.asked(1)
        second = await send(session, "two", "steer")
        gate.set()
        end = await turn_ended(session, first.turn)
    assert first.turn == second.turn
    assert (end.stop_reason, end.moved_to) == (StopReason.WAITING, None)
    assert of_turn(await harness.events(), first.turn) == ["one", "two", "One.", "Both."]


async def test_a_steer_that_its_turn_has_not_seen_moves_to_the_next(store: SessionStore, gate: asyncio.Event) -> None:
    """The turn ends by its limit of model calls, while what it was told last waits."""
    harness = scene(store, runs("true"), FakeReply(text="x", calls=runs("true").calls, hold=gate), says("Two."))
    harness.settings["max_iterations"] = 2
    async with harness.live() as session:
        first = await say(session, "one")
        await harness.model.asked(2)
        second = await send(session, "two", "steer")
        gate.set()
        end = await turn_ended(session, first.turn)
        assert (end.stop_reason, end.moved_to) == (StopReason.MAX_ITERATIONS, second.id)
        assert (await turn_ended(session, end.moved_to)).stop_reason is StopReason.WAITING
    assert second.turn == first.turn


async def test_the_message_of_a_turn_has_its_senders_key_and_name(store: SessionStore, gate: asyncio.Event) -> None:
    harness = scene(store, says("One.", hold=gate), says("Two."))
    async with harness.live() as session:
        await send(session, "one", key="k1")
        await harness.model.asked(1)
        accepted = await send(session, "two", key="k2")
        assert await send(session, "two", key="k2") == accepted
        gate.set()
        await turn_ended(session, accepted.turn)
        assert await send(session, "two", key="k2") == accepted
    said = [one for one in only(await harness.events(), MessageAction) if one.source is Source.USER]
    assert [(one.content, one.key, one.author) for one in said] == [("one", "k1", "mia"), ("two", "k2", "mia")]
    assert said[1].turn == accepted.id


async def test_a_queued_message_is_edited_and_removed_until_it_begins(store: SessionStore, gate: asyncio.Event) -> None:
    harness = scene(store, says("One.", hold=gate), says("Two."))
    async with harness.live() as session:
        await say(session, "one")
        await harness.model.asked(1)
        second, third = await send(session, "tow"), await send(session, "three")
        await session.submit(EditQueued(queued=second.id, content="two"))
        await session.submit(RemoveQueued(third.id))
        with pytest.raises(NotAccepting, match="waits no more"):
            await session.submit(RemoveQueued(third.id))
        gate.set()
        await turn_ended(session, second.turn)
        with pytest.raises(NotAccepting, match="waits no more"):
            await session.submit(EditQueued(queued=second.id, content="late"))
    assert await words(harness) == ["user: one", "agent: One.", "user: two", "agent: Two."]
    [dropped] = only(await harness.events(), QueuedMessagesDroppedAction)
    assert (dropped.queued, dropped.reason) == ((third.id,), DropReason.REMOVED)


@pytest.mark.parametrize("number", [0, 5_000])
async def test_an_id_that_names_no_queued_message_is_refused(store: SessionStore, number: int) -> None:
    async with scene(store).live() as session:
        with pytest.raises(BadInput, match=r"^id names no queued message"):
            await session.submit(RemoveQueued(EventId(number)))


async def test_a_stop_leaves_the_queue_and_it_waits_for_the_user(store: SessionStore, gate: asyncio.Event) -> None:
    harness = scene(store, says("Never said.", hold=gate), says("One."), says("Two."))
    async with harness.live() as session:
        await say(session, "one")
        await harness.model.asked(1)
        second = await send(session, "two")
        await session.submit(Stop())
        await rest()
        view = session.event_stream.view
        assert (len(view.queued), view.processing, session.busy) == (1, False, False)
        await session.submit(Resume())
        await turn_ended(session, second.turn)
    assert (await words(harness))[1:] == ["agent: One.", "user: two", "agent: Two."]


@pytest.mark.parametrize("mode", ["steer", "queue"])
async def test_the_next_message_lets_a_held_queue_go_on(
    store: SessionStore, gate: asyncio.Event, mode: Literal["steer", "queue"]
) -> None:
    harness = scene(store, says("One.", hold=gate), says("A."), says("B."))
    async with harness.live() as session:
        await say(session, "one")
        await harness.model.asked(1)
        second = await send(session, "two")
        await session.submit(Pause())
        third = await send(session, "three", mode)
        await turn_ended(session, second.turn if mode == "steer" else third.turn)
    order = ["user: three", "user: two"] if mode == "steer" else ["user: two", "user: three"]
    assert [one for one in await words(harness) if one in order] == order


async def test_a_failed_turn_holds_the_queue(store: SessionStore, gate: asyncio.Event) -> None:
    harness = scene(store, FakeReply(hold=gate), FakeReply())  # nothing, twice
    async with harness.live() as session:
        first = await say(session, "one")
        await harness.model.asked(1)
        second = await send(session, "two")
        gate.set()
        assert (await turn_ended(session, first.turn)).stop_reason is StopReason.ERROR
        await rest()
        assert (len(session.event_stream.view.queued), session.busy) == (1, False)
        harness.model.play(says("Two."))
        assert (await session.submit(Resume())).turn == second.turn
        await turn_ended(session, second.turn)


async def test_a_stop_of_a_queued_turn_takes_it_out_and_hits_no_other(store: SessionStore, gate: asyncio.Event) -> None:
    harness = scene(store, says("One.", hold=gate), says("Three."))
    async with harness.live() as session:
        first = await say(session, "one")
        await harness.model.asked(1)
        second, third = await send(session, "two"), await send(session, "three")
        assert (await session.submit(Stop(second.turn))).turn is None
        gate.set()
        await turn_ended(session, third.turn)
    assert await words(harness) == ["user: one", "agent: One.", "user: three", "agent: Three."]
    [dropped] = only(await harness.events(), QueuedMessagesDroppedAction)
    assert (dropped.queued, dropped.reason) == ((second.id,), DropReason.INTERRUPTED)
    assert first.turn != third.turn


async def test_a_stop_of_a_turn_that_is_over_changes_nothing(store: SessionStore, gate: asyncio.Event) -> None:
    harness = scene(store, says("One."), says("Two.", hold=gate))
    async with harness.live() as session:
        first = await say(session, "one")
        await turn_ended(session, first.turn)
        second = await say(session, "two")
        await harness.model.asked(2)
        with pytest.raises(NotAccepting, match=f"turn {first.turn} is not under way"):
            await session.submit(Stop(first.turn))
        gate.set()
        assert (await turn_ended(session, second.turn)).stop_reason is StopReason.WAITING
        with pytest.raises(NotAccepting, match="is not under way"):
            await session.submit(Stop(second.turn))
        assert (await session.submit(Stop())).turn is None


async def test_a_stop_of_the_running_turn_ends_it(store: SessionStore, gate: asyncio.Event) -> None:
    harness = scene(store, says("One.", hold=gate))
    async with harness.live() as session:
        first = await say(session, "one")
        await harness.model.asked(1)
        assert (await session.submit(Stop(first.turn))).turn == first.turn
        assert (await turn_ended(session, first.turn)).stop_reason is StopReason.STOPPED


async def test_the_queue_takes_so_many_and_no_more(store: SessionStore, gate: asyncio.Event) -> None:
    harness = scene(store, says("One.", hold=gate))
    async with harness.live() as session:
        await say(session, "one")
        await harness.model.asked(1)
        for number in range(MOST_QUEUED):
            await send(session, f"message {number}")
        with pytest.raises(NotAccepting, match="100 messages wait in the queue"):
            await send(session, "one too many")
        await session.submit(Stop())


async def test_an_action_that_awaits_an_answer_keeps_the_queue_and_its_turn(store: SessionStore) -> None:
    harness = scene(store, runs("true"), says("One."), says("Two."))
    harness.settings["confirmation_mode"] = True
    async with harness.live() as session:
        first = await say(session, "one")
        await state(session, "awaiting_user_confirmation", first.id)
        asked = await until(session, lambda one: isinstance(one, TurnEndedObservation))
        assert isinstance(asked, TurnEndedObservation)
        assert (asked.stop_reason, asked.turn) == (StopReason.APPROVAL, first.turn)
        second = await send(session, "two")
        third = await send(session, "no", "steer")  # a refusal, which opens a turn
        assert third.turn not in (first.turn, second.turn)
        await turn_ended(session, second.turn)
        assert (await turn_ended(session, third.turn)).stop_reason is StopReason.WAITING
    assert [one for one in await words(harness) if one.startswith("user")] == ["user: one", "user: no", "user: two"]


async def test_a_deletion_reports_what_was_queued_as_dropped(store: SessionStore, gate: asyncio.Event) -> None:
    harness = scene(store, says("One.", hold=gate))
    async with harness.live() as session:
        await say(session, "one")
        await harness.model.asked(1)
        second = await send(session, "two")
        async with asyncio.timeout(LONG):
            await session.close("deleted")
    [dropped] = only(await harness.events(), QueuedMessagesDroppedAction)
    assert (dropped.queued, dropped.reason) == ((second.id,), DropReason.DELETED)


async def test_the_queue_goes_on_in_the_next_process(store: SessionStore, gate: asyncio.Event) -> None:
    harness = scene(store, says("One.", hold=gate))
    async with harness.live() as session:
        first = await say(session, "one")
        await harness.model.asked(1)
        second = await send(session, "two")
    harness.model.play(says("One."), says("Two."))
    async with harness.live() as session:
        await turn_ended(session, second.turn)
    assert await words(harness) == ["user: one", "agent: One.", "user: two", "agent: Two."]
    assert of_turn(await harness.events(), first.turn) == ["one", "One."]


async def test_an_undo_reports_what_was_queued_after_it_as_dropped(store: SessionStore, gate: asyncio.Event) -> None:
    harness = scene(store, says("Zero."), says("Never said.", hold=gate))
    async with harness.live() as session:
        zero = await say(session, "zero")
        await turn_ended(session, zero.turn)
        await say(session, "one")
        await harness.model.asked(2)
        queued = await send(session, "two")
        await session.submit(Stop())
        await session.submit(Undo())
        assert not session.event_stream.view.queued
    [dropped] = only(await harness.events(), QueuedMessagesDroppedAction)
    assert (dropped.queued, dropped.reason) == ((queued.id,), DropReason.UNDONE)


async def test_an_edited_message_opens_a_turn_of_its_own_and_a_repetition_names_it(store: SessionStore) -> None:
    harness = scene(store, says("Zero."), says("One."), says("Other."))
    async with harness.live() as session:
        await turn_ended(session, (await say(session, "zero")).turn)
        one = await say(session, "one")
        await turn_ended(session, one.turn)
        edit = EditMessage(message=one.id, content="other")
        accepted = await session.submit(edit, IdempotencyKey.of("k", edit))
        assert (await turn_ended(session, accepted.turn)).stop_reason is StopReason.WAITING
        assert await session.submit(edit, IdempotencyKey.of("k", edit)) == accepted
    assert accepted.turn not in (None, one.turn)
    assert of_turn(await harness.events(), accepted.turn) == ["other", "Other."]
