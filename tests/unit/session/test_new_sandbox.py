"""Whoever reopens a conversation in a new sandbox has its model told so, once."""

from collections.abc import Mapping, Sequence

from openhands_sessions.core.commands import Answer
from openhands_sessions.core.events.actions import RunAction
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.events.own import SandboxReplacedObservation
from openhands_sessions.core.history_commands import Undo
from openhands_sessions.core.ids import EventId
from openhands_sessions.ports.runtime import RuntimeSpec
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.new_sandbox import NEW_SANDBOX
from tests.fakes.model import FakeModel, FakeReply
from tests.fakes.runtime import FakeRuntimes
from tests.support.history_steps import move_history
from tests.support.session_harness import SessionHarness, ask, only, runs, says, state
from tests.support.store_entries import TALK
from tests.support.valid_history import valid

ASKED = "awaiting_user_confirmation"


class Scene(SessionHarness):
    """Sandboxes that can be lost between two sessions."""

    sandboxes: FakeRuntimes

    @classmethod
    def of(cls, store: SessionStore, *replies: FakeReply, asks: bool = False) -> "Scene":
        sandboxes = FakeRuntimes()
        scene = cls(store=store, model=FakeModel(replies), runtimes=sandboxes, settings={"confirmation_mode": asks})
        scene.sandboxes = sandboxes
        return scene

    async def lose_the_sandbox(self) -> None:
        await self.sandboxes.discard(TALK)

    async def notes(self) -> list[EventId]:
        return [event.id for event in only(await self.events(), SandboxReplacedObservation)]

    @property
    def shown(self) -> Sequence[Mapping[str, Json]]:
        """What the model was shown last."""
        return self.model.requests[-1].messages


async def test_the_model_is_told_once_of_each_new_sandbox(store: SessionStore) -> None:
    scene = Scene.of(store, runs("echo 1"), says("one"), says("two"), runs("echo 2"), says("three"), says("four"))
    async with scene.live() as session:
        await ask(session, "begin")
    await scene.lose_the_sandbox()
    async with scene.live() as session:
        await ask(session, "what is there?")
    assert [message["content"] for message in scene.shown[-2:]] == [NEW_SANDBOX, "what is there?"]
    async with scene.live() as session:
        await ask(session, "run again")
    assert len(await scene.notes()) == 1, "nothing was in the second sandbox yet"
    await scene.lose_the_sandbox()
    async with scene.live() as session:
        await ask(session, "and now?")
    assert len(await scene.notes()) == 2
    assert [message["content"] for message in scene.shown].count(NEW_SANDBOX) == 2


async def test_a_sandbox_that_was_kept_is_no_new_one(store: SessionStore) -> None:
    scene = Scene.of(store, runs("echo 1"), says("one"), says("two"))
    async with scene.live() as session:
        await ask(session, "begin")
    async with scene.live() as session:
        await ask(session, "go on")
    assert await scene.notes() == []


async def test_where_nothing_has_run_nothing_is_lost(store: SessionStore) -> None:
    scene = Scene.of(store, says("one"), runs("echo 1"), says("two"), asks=True)
    async with scene.live() as session:
        await ask(session, "begin")
        asked = await ask(session, "run it", ASKED)
        await session.submit(Answer(confirmed=False))
        await state(session, "awaiting_user_input", asked)
    await scene.lose_the_sandbox()
    async with scene.live():
        assert await scene.notes() == []


async def test_a_question_is_as_it_was_and_its_call_keeps_its_result(store: SessionStore) -> None:
    scene = Scene.of(store, runs("echo 1"), runs("echo 2"), says("done"), asks=True)
    async with scene.live() as session:
        asked = await ask(session, "begin", ASKED)
        await session.submit(Answer(confirmed=True))
        await state(session, ASKED, asked + 1)
        pending = session.event_stream.view.pending
    await scene.lose_the_sandbox()
    async with scene.live() as session:
        assert session.event_stream.view.pending == pending
        last = session.event_stream.view.head
        await session.submit(Answer(confirmed=True))
        await state(session, "awaiting_user_input", last)
    assert len(await scene.notes()) == 1
    assert [action.command for action in only(await scene.events(), RunAction)][-1] == "echo 2"
    assert NEW_SANDBOX in [message["content"] for message in scene.shown]
    assert valid([dict(message) for message in scene.shown])


async def test_taking_a_turn_back_takes_no_note_back(store: SessionStore) -> None:
    scene = Scene.of(store, runs("echo 1"), says("one"), says("two"), says("three"))
    async with scene.live() as session:
        await ask(session, "begin")
    await scene.lose_the_sandbox()
    async with scene.live() as session:
        await ask(session, "a wrong question")
        await move_history(session, Undo())
        await ask(session, "a better one")
    contents = [message["content"] for message in scene.shown]
    assert (NEW_SANDBOX in contents, "a wrong question" in contents) == (True, False)


async def test_a_sandbox_that_cannot_be_asked_delays_the_note_and_nothing_else(store: SessionStore) -> None:
    scene = Scene.of(store, runs("echo 1"), says("one"))
    async with scene.live() as session:
        await ask(session, "begin")
    await scene.lose_the_sandbox()
    async with scene.sandboxes.open(RuntimeSpec(sid=TALK, term=99)) as newer:
        await newer.send_input("")  # from here on, older owners are refused
        async with scene.live() as session:
            assert session.problem is None
    assert await scene.notes() == []
    await scene.lose_the_sandbox()
    async with scene.live():
        assert len(await scene.notes()) == 1
