"""Commands on the queue that meet the end of a turn, a stop or a full disk."""

import asyncio

import pytest

from openhands_sessions.core.commands import EditQueued, Stop
from openhands_sessions.core.errors import BadInput, NotAccepting, StorageUnavailable
from openhands_sessions.ports.store import SessionStore
from tests.fakes.model import FakeModel
from tests.fakes.runtime import FakeRuntimes
from tests.fakes.store import HeldLog, MortalStore
from tests.support.session_harness import SessionHarness, rest, runs, say, says, turn_ended, until
from tests.support.store_entries import TALK
from tests.unit.session.test_message_queue import scene, send, words


async def test_a_stop_that_comes_behind_the_end_of_its_turn_does_not_hold_the_queue(store: SessionStore) -> None:
    """The turn has ended, and the next one has not begun: the loop takes the commands that wait first."""
    slow = MortalStore(store, dies_at=-1, stored=True)
    held = slow.logs[TALK] = HeldLog(store.log(TALK), holds=False)
    gate = asyncio.Event()
    harness = scene(store, says("One.", hold=gate), says("Two."))
    async with harness.live(slow) as session:
        first = await say(session, "one")
        await harness.model.asked(1)
        second = await send(session, "two")
        held.holds = True
        gate.set()
        await rest()
        late = asyncio.create_task(session.submit(Stop(first.turn)))
        await rest()
        held.holds = False
        await held.release()
        with pytest.raises(NotAccepting, match="is not under way"):
            await late
        await turn_ended(session, second.turn)
    assert (await words(harness))[-1] == "agent: Two."


async def test_a_stop_holds_a_queue_that_was_let_go_a_moment_before(store: SessionStore, gate: asyncio.Event) -> None:
    harness = scene(store, says("Never said.", hold=gate))
    async with harness.live() as session:
        await say(session, "one")
        await harness.model.asked(1)
        await send(session, "two")
        await session.submit(Stop())
        await asyncio.gather(send(session, "three"), session.submit(Stop()))
        await rest()
        assert (len(session.event_stream.view.queued), session.busy) == (2, False)


async def test_an_edit_with_images_for_a_model_without_eyes_is_refused(
    store: SessionStore, gate: asyncio.Event
) -> None:
    harness = scene(store, says("One.", hold=gate))
    harness.model.vision = False
    async with harness.live() as session:
        await say(session, "one")
        await harness.model.asked(1)
        queued = await send(session, "two")
        with pytest.raises(BadInput, match="image_urls"):
            await session.submit(EditQueued(queued=queued.id, content="look", image_urls=("data:,",)))
        await session.submit(Stop())


async def test_a_stop_that_the_disk_refuses_lets_the_turn_go_on_where_it_was(
    store: SessionStore, gate: asyncio.Event
) -> None:
    slow = MortalStore(store, dies_at=-1, stored=True)
    held = slow.logs[TALK] = HeldLog(store.log(TALK), failing=[0], holds=False)
    runtimes = FakeRuntimes({"wait": ("done", 0)}, {"wait": gate})
    harness = SessionHarness(store=store, model=FakeModel([runs("wait"), says("One.")]), runtimes=runtimes)
    async with harness.live(slow) as session:
        first = await say(session, "one")
        await until(session, lambda event: event.KIND == "run")
        held.holds = True
        stopping = asyncio.create_task(session.submit(Stop()))
        await rest()
        held.holds = False
        await held.release()
        with pytest.raises(StorageUnavailable):
            await stopping
        gate.set()
        await turn_ended(session, first.turn)
    told = await harness.told()
    assert told.count("run wait (confirmed)") == 1
    assert "turn_resumed" in told
    assert told[-3] == "agent: One."
