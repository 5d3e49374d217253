"""Whoever stays with a conversation without a session hears of its next one, and of the conversation's end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from openhands_sessions.core.commands import SendMessage
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.core.ids import EventId
from openhands_sessions.ports.gateway import EndReason, SessionEnded, Status
from openhands_sessions.ports.store import SessionStore
from tests.fakes.openings import DoorAgents, Doorway
from tests.support.service_layer import TALK, ServiceLayer, running_service
from tests.support.session_harness import LONG, rest


class Sleeper:
    """Stays behind event `after`, and takes down what comes."""

    def __init__(self, service: ServiceLayer, after: int) -> None:
        self.titles: list[str | None] = []
        self.ids: list[EventId] = []
        self.ended: EndReason | None = None
        self.task = asyncio.create_task(self._sleep(service, after))

    async def _sleep(self, service: ServiceLayer, after: int) -> None:
        try:
            async for news in service.gateway.asleep(TALK, after):
                if isinstance(news, Status):
                    self.titles.append(news.title)
                else:
                    self.ids += [entry.id for entry in news]  # type: ignore[union-attr]  # nothing streams meanwhile
        except SessionEnded as end:
            self.ended = end.reason

    async def over(self) -> None:
        async with asyncio.timeout(LONG):
            await self.task


@asynccontextmanager
async def failed(store: SessionStore) -> AsyncIterator[tuple[ServiceLayer, Doorway, list[Sleeper]]]:
    """A session that could not be set up, and two who stay with it."""
    door = Doorway(lambda: RuntimeUnavailable("no docker"))
    async with running_service(ServiceLayer(store=store, agents=DoorAgents(door))) as service:
        session = await service.open()
        sleepers = [Sleeper(service, session.event_stream.view.head) for _ in range(2)]
        await rest()
        assert not any(sleeper.task.done() for sleeper in sleepers)
        yield service, door, sleepers


async def test_a_session_that_is_built_anew_wakes_them(store: SessionStore) -> None:
    async with failed(store) as (service, door, sleepers):
        door.fault = None
        await service.open()
        for sleeper in (*sleepers, Sleeper(service, 0)):
            await sleeper.over()
            assert (sleeper.ended, sleeper.ids) == (None, [])


async def test_they_hear_of_each_new_title_once(store: SessionStore) -> None:
    async with failed(store) as (service, door, sleepers):
        for title in ("one", "two"):
            service.gateway.retitled(TALK, title)
            await rest()
        late = Sleeper(service, 0)
        await rest()
        door.fault = None
        await service.open()
        for sleeper in (*sleepers, late):
            await sleeper.over()
        assert [sleeper.titles for sleeper in (*sleepers, late)] == [["one", "two"], ["one", "two"], []]


async def test_a_stop_is_told_behind_what_it_recorded(store: SessionStore) -> None:
    async with failed(store) as (service, _, sleepers):
        head = (await service.gateway.describe(TALK)).head
        await service.gateway.close(TALK, "stopped")
        for sleeper in sleepers:
            await sleeper.over()
            assert (sleeper.ended, sleeper.ids) == ("stopped", [head + 1])


async def test_a_deleted_conversation_has_nothing_more_to_say(store: SessionStore) -> None:
    async with failed(store) as (service, _, sleepers):
        assert await service.history.delete((await service.gateway.describe(TALK)).owner, TALK)
        for sleeper in sleepers:
            await sleeper.over()
            assert (sleeper.ended, sleeper.ids) == ("deleted", [])


@pytest.mark.parametrize("reason", ["idle", "failed"])
async def test_they_stay_where_a_session_only_makes_room(store: SessionStore, reason: EndReason) -> None:
    async with failed(store) as (service, door, sleepers):
        await service.gateway.close(TALK, reason)
        await rest()
        assert not any(sleeper.task.done() for sleeper in sleepers)
        door.fault = None
        await service.gateway.submit(TALK, SendMessage(content="hi"))
        for sleeper in sleepers:
            await sleeper.over()


async def test_a_stop_without_a_session_sends_them_away_too(store: SessionStore) -> None:
    async with failed(store) as (service, _, sleepers):
        await service.gateway.close(TALK, "idle")
        await service.gateway.close(TALK, "stopped")
        for sleeper in sleepers:
            await sleeper.over()
            assert sleeper.ended == "stopped"
