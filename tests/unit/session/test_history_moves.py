"""A turn is taken back whole, what was left can be returned to, and nothing of a turn that runs is lost."""

import asyncio
from typing import Any

import pytest

from openhands_sessions.core.commands import Answer, SendMessage, Stop
from openhands_sessions.core.errors import BadInput, NotAccepting
from openhands_sessions.core.events.actions import RecallAction, RunAction
from openhands_sessions.core.events.observations import ErrorObservation
from openhands_sessions.core.events.own import (
    CheckpointCreatedObservation,
    HistoryMovedObservation,
    TurnEndedObservation,
)
from openhands_sessions.core.history_commands import (
    Compact,
    CreateCheckpoint,
    EditMessage,
    GoBack,
    HistoryMove,
    Regenerate,
    SwitchBranch,
    Undo,
)
from openhands_sessions.core.ids import EventId
from openhands_sessions.core.lineage import MAIN, Branch
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.agent_session import AgentSession
from openhands_sessions.session.history_moves import BUSY, NOTE
from openhands_sessions.session.idempotency import IdempotencyKey
from openhands_sessions.session.setup import NO_IMAGES
from tests.fakes.model import FakeModel, FakeReply
from tests.fakes.store import MortalStore
from tests.support.history_steps import do, messages_of_user, move_history, visible
from tests.support.moved_logs import views_of
from tests.support.session_harness import LONG, SessionHarness, ask, only, runs, say, says, state
from tests.support.valid_history import valid

ASKED = "awaiting_user_confirmation"
IMAGE = "data:image/png;base64,iVBORw0KGgo="


def scene(store: SessionStore, *replies: FakeReply, **settings: Any) -> SessionHarness:
    return SessionHarness(store=store, model=FakeModel(replies), settings=settings)


async def test_an_undone_turn_is_gone_for_the_model_with_all_that_it_ran(store: SessionStore) -> None:
    harness = scene(store, says("one!"), runs("echo 2"), says("two!"), says("three!"))
    async with harness.live() as session:
        await ask(session, "one")
        before = session.event_stream.view
        await ask(session, "two")
        moved = await move_history(session, Undo())
        assert await visible(harness, session) == ["one", "one!"]
        assert session.event_stream.view.settled == before.settled == moved.to
        await ask(session, "three")
        shown: Any = harness.model.requests[-1].messages
    assert valid(shown)
    said = [message["content"] for message in shown if message["role"] in ("user", "assistant")]
    assert said[-4:] == ["one", "one!", NOTE, "three"]
    assert not any(message["role"] == "tool" for message in shown)
    events = await harness.events()
    assert [event.id for event in events] == list(range(len(events)))
    assert moved.author == "ada"
    assert moved.message_id == messages_of_user(events)[1].id


async def test_each_undo_takes_one_more_turn_and_the_log_loses_nothing(store: SessionStore) -> None:
    harness = scene(store, *[says(f"{n}!") for n in range(4)])
    async with harness.live() as session:
        for n in range(3):
            await ask(session, str(n))
        for left in (2, 1, 0):
            await move_history(session, Undo())
            assert await visible(harness, session) == [text for n in range(left) for text in (f"{n}", f"{n}!")]
        with pytest.raises(NotAccepting, match="no turn to take back"):
            await do(session, Undo())
        assert session.event_stream.view.lineage.branches == (
            Branch(name="1", tip=only(await harness.events(), HistoryMovedObservation)[0].left_tip),
        )
        await ask(session, "again")
        assert await visible(harness, session) == ["again", "3!"]
    assert [event.content for event in messages_of_user(await harness.events())] == ["0", "1", "2", "again"]


async def test_undone_turns_stay_paid_for(store: SessionStore) -> None:
    harness = scene(store, *[says("!")] * 3)
    async with harness.live() as session:
        await ask(session, "one")
        await ask(session, "two")
        await move_history(session, Undo())
        await ask(session, "three")
        assert session.event_stream.view.spent.cost == 3_000


async def test_what_was_left_is_returned_to_as_it_was(store: SessionStore) -> None:
    harness = scene(store, says("one!"), runs("echo 2"), says("two!"), says("three!"), says("four!"))
    async with harness.live() as session:
        await ask(session, "one")
        await ask(session, "two")
        await move_history(session, Undo(branch="second"))
        await ask(session, "three")
        left = await move_history(session, SwitchBranch(branch="second"))
        assert (left.branch, left.left_branch) == ("second", MAIN)
        assert await visible(harness, session) == ["one", "one!", "two", "two!"]
        await ask(session, "four")
        shown: Any = harness.model.requests[-1].messages
        assert valid(shown)
        assert next(m["content"] for m in shown if m["role"] == "tool").startswith("2")
        await move_history(session, SwitchBranch(branch=MAIN))
        assert await visible(harness, session) == ["one", "one!", "three", "three!"]
        names = [branch.name for branch in session.event_stream.view.lineage.branches]
        assert (session.event_stream.view.lineage.branch, names) == (MAIN, ["second"])


async def test_a_message_is_edited_and_sent_again_in_one_append_and_once(store: SessionStore) -> None:
    harness = scene(store, says("one!"), says("two!"), says("better!"))
    async with harness.live() as session:
        await session.submit(SendMessage(content="one", image_urls=(IMAGE,)))
        await state(session, "awaiting_user_input", session.event_stream.view.head)
        await ask(session, "two")
        first = messages_of_user(await harness.events())[0]
        edit = EditMessage(message=first.id, content="better")
        events = [await do(session, edit, "k"), await do(session, edit, "k")]
        await state(session, "awaiting_user_input", events[0].id + 1)
        assert events[0] == events[1]
        assert await visible(harness, session) == ["better", "better!"]
        again = messages_of_user(await harness.events())[-1]
        assert (again.id, again.image_urls, again.author) == (events[0].id + 1, (IMAGE,), "ada")
        with pytest.raises(BadInput, match="key"):
            await do(session, EditMessage(message=first.id, content="worse"), "k")
    recalls = only(await harness.events(), RecallAction)
    assert [recall.recall_type for recall in recalls] == ["workspace_context", "workspace_context"]
    assert len(only(await harness.events(), HistoryMovedObservation)) == 1


async def test_a_turn_is_taken_again_with_all_that_the_user_said_in_it(
    store: SessionStore, gate: asyncio.Event
) -> None:
    harness = scene(store, FakeReply(text="first try", hold=gate), says("yes!"), says("a better one"))
    async with harness.live() as session:
        accepted = await session.submit(SendMessage(content="one", image_urls=(IMAGE,)))
        await harness.model.asked(1)
        await say(session, "and this")
        gate.set()
        await state(session, "awaiting_user_input", accepted.id)
        moved = await move_history(session, Regenerate())
        await state(session, "awaiting_user_input", moved.id)
        assert await visible(harness, session) == ["one", "and this", "a better one"]
        shown: Any = harness.model.requests[-1].messages
        assert shown[-2]["content"][1]["image_url"]["url"] == IMAGE


async def test_nothing_moves_while_a_turn_runs(store: SessionStore, gate: asyncio.Event) -> None:
    harness = scene(store, says("one!"), FakeReply(text="two words", hold=gate), says("three!"))
    async with harness.live() as session:
        await ask(session, "one")
        accepted = await say(session, "two")
        await harness.model.asked(2)
        first = messages_of_user(await harness.events())[0].id
        for command in (
            Undo(),
            Regenerate(),
            GoBack(message=first),
            EditMessage(message=first, content="x"),
            Compact(),
        ):
            with pytest.raises(NotAccepting, match=BUSY):
                await do(session, command)
        await do(session, Stop())
        await state(session, "stopped", accepted.id)
        await move_history(session, Undo())
        assert await visible(harness, session) == ["one", "one!"]


async def test_a_question_that_is_left_behind_is_withdrawn_with_a_result(store: SessionStore) -> None:
    harness = scene(store, runs("echo 1"), says("fine"), confirmation_mode=True)
    async with harness.live() as session:
        await ask(session, "go", ASKED)
        await move_history(session, Undo())
        assert session.event_stream.view.pending is None
        with pytest.raises(NotAccepting, match="no action awaits"):
            await do(session, Answer(confirmed=True))
        await ask(session, "other")
        assert session.runtime is not None
        await move_history(session, SwitchBranch(branch="1"))
        await ask_again(harness, session)
    [withdrawn] = only(await harness.events(), ErrorObservation)
    assert "Not run" in withdrawn.content


async def ask_again(harness: SessionHarness, session: AgentSession) -> None:
    """The history of the branch is one that a provider takes."""
    harness.model.play(says("valid"))
    await ask(session, "and now")
    shown: Any = harness.model.requests[-1].messages
    assert valid(shown)


@pytest.mark.parametrize(
    ("command", "field"),
    [
        (GoBack(message=EventId(10_000)), "message"),
        (GoBack(message=EventId(-1)), "message"),
        (GoBack(message=EventId(0)), "message"),
        (GoBack(event=EventId(10_000)), "event"),
        (GoBack(event=EventId(-5)), "event"),
        (GoBack(event=EventId(0)), "event"),
        (GoBack(), "message"),
        (GoBack(event=EventId(1), checkpoint="x"), "message"),
        (GoBack(checkpoint="x"), "checkpoint"),
        (EditMessage(message=EventId(3), content="x"), "message"),
        (SwitchBranch(branch="x"), "branch"),
        (SwitchBranch(branch=MAIN), "branch"),
        (Undo(branch=MAIN), "branch"),
    ],
)
async def test_what_is_no_place_to_go_is_refused_by_its_field(
    store: SessionStore, command: HistoryMove, field: str
) -> None:
    harness = scene(store, says("one!"))
    async with harness.live() as session:
        await ask(session, "one")
        head = session.event_stream.view.head
        with pytest.raises(BadInput) as refused:
            await do(session, command)
        assert (refused.value.field, session.event_stream.view.head) == (field, head)


async def test_an_event_within_a_turn_is_no_place_to_go_and_the_turn_is_named(
    store: SessionStore, gate: asyncio.Event
) -> None:
    harness = scene(store, FakeReply(text="two words", hold=gate), runs("echo 1"), says("one!"))
    async with harness.live() as session:
        accepted = await say(session, "one")
        await harness.model.asked(1)
        await say(session, "a word in between")
        gate.set()
        await state(session, "awaiting_user_input", accepted.id)
        opening, steer = messages_of_user(await harness.events())
        for command in (GoBack(message=steer.id), GoBack(event=steer.id), EditMessage(message=steer.id, content="x")):
            with pytest.raises(BadInput, match=f"message {opening.id} opened"):
                await do(session, command)
        end = session.event_stream.view.settled
        harness.model.play(says("two!"))
        await ask(session, "two")
        assert (await move_history(session, GoBack(event=EventId(end + 1)))).to == end
        assert (await move_history(session, GoBack(message=opening.id))).to == session.event_stream.view.system


async def test_a_model_that_sees_no_images_is_sent_none_again(store: SessionStore) -> None:
    harness = scene(store, says("one!"))
    async with harness.live() as session:
        await session.submit(SendMessage(content="one", image_urls=(IMAGE,)))
        await state(session, "awaiting_user_input", session.event_stream.view.head)
    harness.model.vision = False
    async with harness.live() as session:
        with pytest.raises(BadInput, match=NO_IMAGES):
            await do(session, Regenerate())
        assert only(await harness.events(), HistoryMovedObservation) == []


async def test_a_checkpoint_is_gone_back_to_from_any_branch(store: SessionStore) -> None:
    harness = scene(store, *[says(f"{n}!") for n in range(4)])
    async with harness.live() as session:
        await ask(session, "zero")
        await do(session, CreateCheckpoint(name="good", description="all green"))
        await ask(session, "one")
        with pytest.raises(BadInput, match="name"):
            await do(session, CreateCheckpoint(name="good"))
        await move_history(session, GoBack(checkpoint="good"))
        assert await visible(harness, session) == ["zero", "0!"]
        first = messages_of_user(await harness.events())[0].id
        await move_history(session, GoBack(message=first))
        assert await visible(harness, session) == []
        await move_history(session, GoBack(checkpoint="good"))
        assert await visible(harness, session) == ["zero", "0!"]
    [made] = only(await harness.events(), CheckpointCreatedObservation)
    assert (made.description, made.author) == ("all green", "ada")


async def test_a_checkpoint_whose_turn_awaits_an_answer_is_no_place_to_go(
    store: SessionStore, gate: asyncio.Event
) -> None:
    asks = FakeReply(text="I look.", calls=runs("echo 1").calls, hold=gate)
    harness = scene(store, says("zero!"), asks, confirmation_mode=True)
    async with harness.live() as session:
        await ask(session, "zero")
        asked = asyncio.create_task(ask(session, "one", "awaiting_user_confirmation"))
        await harness.model.asked(2)
        await do(session, CreateCheckpoint(name="here"))
        gate.set()
        await asked
        head = session.event_stream.view.head
        with pytest.raises(NotAccepting, match="the turn of checkpoint 'here' has not ended"):
            await do(session, GoBack(checkpoint="here"))
        assert session.event_stream.view.head == head


@pytest.mark.parametrize("stored", [False, True])
async def test_a_server_that_dies_in_a_move_has_made_it_wholly_or_not_at_all(store: SessionStore, stored: bool) -> None:
    harness = scene(store, says("one!"), runs("echo 2"), confirmation_mode=True)
    async with harness.live() as session:
        await ask(session, "one")
        await ask(session, "two", ASKED)
    before = await harness.events()
    edit = EditMessage(message=messages_of_user(before)[1].id, content="better")
    async with harness.killed(MortalStore(store, dies_at=0, stored=stored)) as session:
        async with asyncio.timeout(LONG):
            await session.settled()
        moving = asyncio.create_task(session.submit(edit, IdempotencyKey.of("k", edit)))
    assert not moving.done() or moving.exception() is not None
    moving.cancel()
    added = (await harness.events())[len(before) :]
    assert [type(event) for event in added[:4]] == (
        [RunAction, ErrorObservation, TurnEndedObservation, HistoryMovedObservation] if stored else []
    )
    harness.model.play(says("fine"))
    async with harness.live() as session:
        first = await do(session, edit, "k")
        await state(session, "awaiting_user_input", first.id + 4)
        assert session.event_stream.view == views_of(await harness.events())[-1]
        assert await visible(harness, session) == ["one", "one!", "better", "fine"]
    assert len(only(await harness.events(), HistoryMovedObservation)) == 1


async def test_a_later_session_goes_on_where_the_move_has_led(store: SessionStore) -> None:
    harness = scene(store, says("one!"), says("two!"), says("three!"))
    async with harness.live() as session:
        await ask(session, "one")
        await ask(session, "two")
        await move_history(session, Undo())
    async with harness.live() as session:
        assert await visible(harness, session) == ["one", "one!"]
        assert session.event_stream.view == views_of(await harness.events())[-1]
        await ask(session, "three")
        shown: Any = harness.model.requests[-1].messages
    assert "two" not in [message["content"] for message in shown]
