"""Closing reaches Closed from any state, lets go of everything, and leaves no task."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from openhands_sessions.core.commands import SendMessage
from openhands_sessions.core.errors import NotAccepting, RuntimeUnavailable, SessionsError, StorageUnavailable
from openhands_sessions.core.lifecycle import SET_UP, SessionState
from openhands_sessions.ports.gateway import EndReason
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.agent_session import AgentSession
from tests.fakes.model import FakeModel, FakeReply
from tests.fakes.openings import DoorAgents, DoorRuntimes, Doorway
from tests.fakes.runtime import FakeRuntimes
from tests.fakes.store import HeldLog, MortalStore
from tests.support.session_harness import (
    LONG,
    SessionHarness,
    ask,
    hold,
    our_tasks,
    reason_of_end,
    rest,
    runs,
    say,
    says,
    state,
    until,
)
from tests.support.store_entries import TALK

S = SessionState
REASONS: list[EndReason] = ["stopped", "deleted", "shutdown", "idle"]


def scene(store: SessionStore, *replies: FakeReply) -> SessionHarness:
    return SessionHarness(store=store, model=FakeModel(replies))


@asynccontextmanager
async def running(harness: SessionHarness, store: SessionStore | None = None) -> AsyncIterator[AgentSession]:
    """A session whose life must have ended when the block does."""
    session = harness.new_session(store)
    life = asyncio.create_task(session.run())
    try:
        yield session
        async with asyncio.timeout(LONG):
            await life
    finally:
        life.cancel()
        await asyncio.wait([life])
    assert session.state is S.CLOSED
    assert our_tasks() == set()
    assert (session.runtime, session.controller) == (None, None)
    with pytest.raises(SessionsError):
        await session.submit(SendMessage(content="late"))


async def close(session: AgentSession, reason: EndReason = "stopped") -> None:
    async with asyncio.timeout(LONG):
        await session.close(reason)


@pytest.mark.parametrize("reason", REASONS)
async def test_before_it_was_ever_set_up(store: SessionStore, reason: EndReason) -> None:
    harness = scene(store)
    session = harness.new_session()
    waiting = asyncio.create_task(session.submit(SendMessage(content="hi")))
    await rest()
    await close(session, reason)
    with pytest.raises(NotAccepting):
        await waiting
    assert session.state is S.CLOSED
    await session.settled()
    assert await reason_of_end(session) == reason
    await session.run()
    assert harness.changes == [S.CLOSING, S.CLOSED]
    assert await harness.events() == []


@pytest.mark.parametrize("stage", SET_UP)
@pytest.mark.parametrize("reason", REASONS)
async def test_in_the_middle_of_each_stage(store: SessionStore, stage: SessionState, reason: EndReason) -> None:
    harness = scene(store)
    held = hold(harness, stage)
    async with running(harness, held.store) as session:
        waiting = asyncio.create_task(session.submit(SendMessage(content="hi")))
        await held.entered.wait()
        assert session.state is stage
        await close(session, reason)
        with pytest.raises(NotAccepting):
            await waiting
        assert await reason_of_end(session) == reason
    assert S.ERROR not in harness.changes


@pytest.mark.parametrize("reason", REASONS)
async def test_when_it_is_ready(store: SessionStore, reason: EndReason) -> None:
    harness = scene(store, says("a"))
    async with running(harness) as session:
        await ask(session, "hi")
        await close(session, reason)
        assert await reason_of_end(session) == reason
    # There is nothing to stop: the state says it alone.
    told = (await harness.told())[-2:]
    waits = ["turn ended: waiting", "state awaiting_user_input"]
    assert told == ([waits[-1], "state stopped"] if reason in ("stopped", "deleted") else waits)


@pytest.mark.parametrize("reason", REASONS)
async def test_in_the_middle_of_a_model_call(store: SessionStore, reason: EndReason, gate: asyncio.Event) -> None:
    harness = scene(store, FakeReply(text="x", hold=gate), says("On."))
    async with running(harness) as session:
        accepted = await say(session, "hi")
        await harness.model.asked(1)
        assert session.state is S.RUNNING
        await close(session, reason)
    if reason in ("stopped", "deleted"):
        assert (await harness.told())[-1] == "state stopped"
        return
    async with harness.live() as session:
        await until(session, lambda event: event.describe() == "On.", accepted.id)
    assert "turn_resumed" in await harness.told()


@pytest.mark.parametrize("reason", REASONS)
async def test_in_the_middle_of_a_command(store: SessionStore, reason: EndReason, gate: asyncio.Event) -> None:
    harness = scene(store, runs("wait"), says("On."))
    harness.runtimes = FakeRuntimes({"wait": ("out", 0)}, {"wait": gate})
    async with running(harness) as session:
        accepted = await say(session, "hi")
        await until(session, lambda event: event.KIND == "run", accepted.id)
        await rest()
        await close(session, reason)
    if reason in ("stopped", "deleted"):
        assert (await harness.told())[-2:] == ["turn ended: stopped", "state stopped"]
        return
    gate.set()
    async with harness.live() as session:
        await until(session, lambda event: event.describe() == "On.", accepted.id)
    assert "ran wait: out [0]" in await harness.told()


@pytest.mark.parametrize("reason", REASONS)
async def test_while_it_waits_for_an_answer(store: SessionStore, reason: EndReason) -> None:
    harness = scene(store, runs("echo 1"))
    harness.settings = {"confirmation_mode": True}
    async with running(harness) as session:
        await ask(session, "go", "awaiting_user_confirmation")
        await close(session, reason)
    told = await harness.told()
    assert ("run echo 1 (rejected)" in told) == (reason in ("stopped", "deleted"))


async def test_after_it_has_failed(store: SessionStore) -> None:
    harness = scene(store)
    harness.agents = DoorAgents(Doorway(lambda: RuntimeUnavailable("no")))
    async with running(harness) as session:
        await session.settled()
        assert session.state is S.ERROR
        await close(session)
        assert await reason_of_end(session) == "stopped"
    assert (await harness.told())[-2:] == ["state error", "state stopped"]


async def test_after_it_has_failed_with_a_question_open(store: SessionStore) -> None:
    harness = scene(store, runs("echo 1"))
    harness.settings = {"confirmation_mode": True}
    async with harness.live() as session:
        await ask(session, "go", "awaiting_user_confirmation")
    harness.agents = DoorAgents(Doorway(lambda: RuntimeUnavailable("no")))
    async with running(harness) as session:
        await session.settled()
        await close(session)
    assert (await harness.told())[-1] == "user -> stopped"
    harness.agents = None
    async with harness.live() as session:
        await state(session, "stopped")
        assert session.event_stream.view.pending is None
    assert "run echo 1 (rejected)" in await harness.told()


async def test_while_it_unwinds_a_failure(store: SessionStore, gate: asyncio.Event) -> None:
    door = Doorway(stuck=gate)
    harness = scene(store)
    harness.runtimes = DoorRuntimes(door)
    harness.agents = DoorAgents(Doorway(lambda: RuntimeUnavailable("no")))
    async with running(harness) as session:
        await door.left.wait()
        closing = asyncio.create_task(close(session, "shutdown"))
        await rest()
        assert not closing.done()
        gate.set()
        await closing
        assert await reason_of_end(session) == "shutdown"


async def test_several_may_close_it_and_the_first_reason_counts(store: SessionStore) -> None:
    async with running(scene(store)) as session:
        await session.settled()
        await asyncio.gather(close(session, "idle"), close(session, "deleted"), close(session, "stopped"))
        assert await reason_of_end(session) == "idle"
        await close(session, "deleted")


async def test_what_set_up_opened_is_closed_in_reverse(store: SessionStore) -> None:
    order: list[str] = []

    def notes(name: str) -> Callable[[], Exception]:
        def ill() -> Exception:
            order.append(name)
            return RuntimeUnavailable("it would not close")

        return ill

    harness = scene(store)
    harness.runtimes = DoorRuntimes(Doorway(ill=notes("runtime")))
    harness.agents = DoorAgents(Doorway(ill=notes("agent")))
    async with running(harness) as session:
        await session.settled()
        await close(session)
    assert order == ["agent", "runtime"]


@pytest.mark.parametrize("ill", [RuntimeUnavailable("no"), OSError("no"), ValueError("our bug"), TimeoutError("late")])
async def test_what_will_not_close_does_not_keep_the_session(store: SessionStore, ill: Exception) -> None:
    door = Doorway()
    harness = scene(store)
    harness.runtimes = DoorRuntimes(door)
    harness.agents = DoorAgents(Doorway(ill=lambda: ill))
    async with running(harness) as session:
        await session.settled()
        await close(session)
    assert door.closed == 1


async def test_a_command_that_is_just_being_taken_is_finished_first(store: SessionStore) -> None:
    """Nobody is told to send it again when it has taken effect."""
    harness = scene(store, says("Hello."))
    slow = MortalStore(store, dies_at=-1, stored=True)
    held = HeldLog(store.log(TALK), holds=False)
    slow.logs[TALK] = held
    session = harness.new_session(slow)
    life = asyncio.create_task(session.run())
    await session.settled()
    held.holds = True
    taking = asyncio.create_task(session.submit(SendMessage(content="hi")))
    await rest()
    closing = asyncio.create_task(close(session, "shutdown"))
    await rest()
    assert not closing.done()
    assert session.busy
    await held.release()
    accepted = await taking
    await closing
    await life
    assert (await harness.events())[accepted.id].describe() == "hi"


async def test_a_session_whose_store_is_gone_closes(store: SessionStore) -> None:
    harness = scene(store, says("a"), says("b"))
    mortal = MortalStore(store, dies_at=5, stored=True)
    session = harness.new_session(mortal)
    life = asyncio.create_task(session.run())
    await ask(session, "hi")
    mortal.dead.set()
    mortal.bury()
    await close(session, "shutdown")
    await life
    assert session.state is S.CLOSED
    assert our_tasks() == set()


async def test_a_cancel_from_outside_closes_it_too(store: SessionStore, gate: asyncio.Event) -> None:
    harness = scene(store, FakeReply(text="x", hold=gate))
    door = Doorway()
    harness.runtimes = DoorRuntimes(door)
    session = harness.new_session()
    life = asyncio.create_task(session.run())
    await say(session, "hi")
    await harness.model.asked(1)
    life.cancel()
    async with asyncio.timeout(LONG):
        with suppress(asyncio.CancelledError):
            await life
    assert (life.cancelled(), session.state, door.closed) == (True, S.CLOSED, 1)
    assert our_tasks() == set()


async def test_a_snapshot_that_cannot_be_saved_is_no_reason_to_end(store: SessionStore) -> None:
    harness = scene(store, *[says(f"{number}") for number in range(3)])
    picky = MortalStore(store, dies_at=-1, stored=True)
    picky.snapshots = NoSnapshots()
    async with harness.live(picky) as session:
        await ask(session, "hi")
        await session.event_stream.append(*[(await harness.events())[0]] * 1_000)
        await ask(session, "still there?")
        await rest()
        assert session.state is S.READY


class NoSnapshots:
    async def load(self, sid: object, at: object = None) -> None:
        return None

    async def save(self, sid: object, snapshot: object) -> None:
        raise StorageUnavailable("the disk is full")
