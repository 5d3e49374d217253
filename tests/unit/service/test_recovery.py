"""What an earlier server left when it ended is looked after, and nobody is disturbed by it."""

import asyncio
from typing import Any

import pytest

from openhands_sessions.core.commands import SendMessage
from openhands_sessions.core.errors import RuntimeUnavailable, StorageUnavailable
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.codec import decode
from openhands_sessions.core.events.event import Source
from openhands_sessions.core.ids import ConversationId, EventId
from openhands_sessions.ports.store import SessionStore, Snapshot, SnapshotStore
from openhands_sessions.session.log_folding import folded
from tests.fakes.model import FakeModel, FakeModels
from tests.fakes.openings import DoorRuntimes, Doorway
from tests.fakes.store import MortalStore
from tests.support.service_layer import TALK, ServiceLayer, running_service
from tests.support.session_harness import LONG, rest, runs, says, state
from tests.support.store_entries import read


class Gated:
    """SnapshotStore whose first reading is held at a door."""

    def __init__(self, snapshots: SnapshotStore, door: Doorway) -> None:
        self._snapshots = snapshots
        self._door = door

    async def load(self, sid: ConversationId, at: EventId | None = None) -> Snapshot | None:
        if not self._door.entered.is_set():
            await self._door.enter()
        return await self._snapshots.load(sid, at)

    async def save(self, sid: ConversationId, snapshot: Snapshot) -> None:
        await self._snapshots.save(sid, snapshot)


def gated(store: SessionStore, door: Doorway) -> MortalStore:
    """A store that lives on, but for what the door does."""
    made = MortalStore(store, dies_at=-1, stored=True)
    made.snapshots = Gated(store.snapshots, door)
    return made


async def left_owing(store: SessionStore, *names: str) -> ServiceLayer:
    """A server that ended while it owed an answer."""
    models = FakeModels(FakeModel([says("Done.")] * len(names)))
    service = ServiceLayer(store=store, models=models, layers=[{"llm_model": "fake"}])
    for name in names:
        session = await service.open(name)
        await session.event_stream.append(MessageAction(source=Source.USER, content="go"))
        await service.gateway.close(ConversationId(name), "shutdown")
    return service


@pytest.mark.parametrize("stored", [True, False])
async def test_the_next_server_goes_on_with_turns_that_were_cut_off(store: SessionStore, stored: bool) -> None:
    models = FakeModels(FakeModel([runs("echo 1"), says("Done."), says("Done.")]))
    mortal = MortalStore(store, dies_at=3, stored=stored)
    service = ServiceLayer(store=mortal, models=models, layers=[{"llm_model": "fake"}])
    await service.open()
    await service.gateway.submit(TALK, SendMessage(content="go"))
    async with asyncio.timeout(LONG):
        await mortal.dead.wait()
        mortal.bury()
        await service.directory.close_all("shutdown")
    async with running_service(
        ServiceLayer(store=store, models=models, runtimes=service.runtimes, layers=service.layers)
    ) as later:
        async with asyncio.timeout(LONG):
            await later.sessions.recover()
        session = later.directory.find(TALK)
        assert session is not None
        await state(session, "awaiting_user_input", 5)


async def test_a_turn_that_was_cut_off_goes_on_once_its_sandbox_can_be_reached(store: SessionStore) -> None:
    service = await left_owing(store, TALK)
    door = Doorway(lambda: RuntimeUnavailable("no docker"))
    later = ServiceLayer(store=store, models=service.models, runtimes=DoorRuntimes(door), layers=service.layers)
    async with running_service(later), asyncio.timeout(LONG):
        recovering = asyncio.create_task(later.sessions.recover(waits=[0.0, 0.01]))
        while (failed := later.directory.find(TALK)) is None or failed.accepting:
            await rest()
        door.fault = None
        await recovering
        session = later.directory.find(TALK) or failed
        assert session is not failed
        await state(session, "awaiting_user_input", 5)


async def test_the_next_server_lets_alone_what_was_at_rest(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        await service.open()
    async with running_service(ServiceLayer(store=store)) as later:
        await later.sessions.recover()
        assert len(later.directory) == 0


async def test_lists_show_what_was_at_rest_when_its_server_was_killed(store: SessionStore) -> None:
    mortal = MortalStore(store, dies_at=-1, stored=True)
    first = ServiceLayer(store=mortal)
    session = await first.open()
    await first.gateway.submit(TALK, SendMessage(content="$ true"))
    await state(session, "awaiting_user_input", 3)
    mortal.bury()
    async with running_service(ServiceLayer(store=store)) as later:
        await later.sessions.recover()
        [info] = (await later.conversations.page(limit=10)).conversations
        assert (info.message_count, info.unread) == (2, 1)
    await first.directory.close_all("shutdown")


@pytest.mark.parametrize("limits", [{"max_sessions": 1}, {"per_user": 1}], ids=["in all", "of their user"])
async def test_those_who_are_looked_after_wait_for_room(store: SessionStore, limits: dict[str, Any]) -> None:
    service = await left_owing(store, "first", "second")
    later = ServiceLayer(store=store, models=service.models, layers=service.layers, **limits)
    async with running_service(later), asyncio.timeout(LONG):
        await later.sessions.recover(waits=[0.0, 0.01])
        [last] = [sid for sid in ("first", "second") if later.directory.find(ConversationId(sid)) is not None]
        session = later.directory.find(ConversationId(last))
        assert session is not None
        await state(session, "awaiting_user_input", 5)
    for sid in ("first", "second"):
        assert (await folded(store.log(ConversationId(sid)), None)).owed is False


async def test_one_that_is_opened_while_its_log_is_looked_at_is_let_alone(store: SessionStore) -> None:
    first = ServiceLayer(store=store)
    await first.open()
    await first.directory.close_all("shutdown")
    await store.claim(TALK)  # as a server has it that dies
    held = asyncio.Event()
    door = Doorway(held=held)
    async with running_service(ServiceLayer(store=gated(store, door))) as later, asyncio.timeout(LONG):
        recovering = asyncio.create_task(later.sessions.recover())
        await door.entered.wait()
        session = await later.open()
        held.set()
        await recovering
        await later.gateway.submit(TALK, SendMessage(content="$ true"))
        assert later.directory.find(TALK) is session


async def test_a_store_that_is_away_for_a_moment_keeps_nobody_from_being_looked_after(store: SessionStore) -> None:
    service = await left_owing(store, "first", "second")
    door = Doorway(lambda: StorageUnavailable("locked"))
    later = ServiceLayer(store=gated(store, door), models=service.models, layers=service.layers)
    async with running_service(later), asyncio.timeout(LONG):
        await later.sessions.recover(waits=[0.0, 0.01])
        for name in ("first", "second"):
            session = later.directory.find(ConversationId(name))
            assert session is not None
            await state(session, "awaiting_user_input", 5)


async def test_a_stop_of_one_that_cannot_be_taken_up_is_kept_to(store: SessionStore) -> None:
    service = await left_owing(store, TALK)
    door = Doorway(lambda: RuntimeUnavailable("no docker"))
    later = ServiceLayer(store=store, models=service.models, runtimes=DoorRuntimes(door), layers=service.layers)
    async with running_service(later), asyncio.timeout(LONG):
        recovering = asyncio.create_task(later.sessions.recover(waits=[0.0, 0.01]))
        while (failed := later.directory.find(TALK)) is None or failed.accepting:
            await rest()
        await later.gateway.close(TALK, "stopped")
        door.fault = None
        await recovering
        session = later.directory.find(TALK)
        assert session is not None
        await state(session, "stopped")
    events = [decode(entry.text) for entry in await read(store.log(TALK))]
    assert [event.content for event in events if isinstance(event, MessageAction)] == ["go"]
