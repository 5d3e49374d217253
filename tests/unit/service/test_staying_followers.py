"""Followers stay with a conversation whose session has failed or idled out, until the conversation is ended."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from openhands_sessions.core.commands import SendMessage
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.core.ids import LOCAL_OWNER, EventId
from openhands_sessions.core.permissions import Lapse
from openhands_sessions.ports.gateway import EndReason, SessionClosed, SessionEnded, Status
from openhands_sessions.ports.store import SessionStore
from tests.fakes.openings import DoorAgents, Doorway
from tests.support.service_layer import TALK, ServiceLayer, running_service
from tests.support.session_harness import LONG, rest


class Follower:
    """Follows from after event `after`, and takes down what comes."""

    def __init__(self, service: ServiceLayer, after: int) -> None:
        self.titles: list[str | None] = []
        self.ids: list[EventId] = []
        self.closed: list[EndReason] = []
        self.ended: EndReason | Lapse | None = None
        self.task = asyncio.create_task(self._follow(service, after))

    async def _follow(self, service: ServiceLayer, after: int) -> None:
        try:
            async with service.gateway.follow(TALK, after) as items:
                async for item in items:
                    match item:
                        case SessionClosed(reason=reason):
                            self.closed.append(reason)
                        case Status(title=str() as title):
                            self.titles.append(title)
                        case Sequence():
                            self.ids += [entry.id for entry in item]
        except SessionEnded as end:
            self.ended = end.reason

    async def over(self) -> None:
        async with asyncio.timeout(LONG):
            await self.task


@asynccontextmanager
async def failed(store: SessionStore) -> AsyncIterator[tuple[ServiceLayer, Doorway, list[Follower]]]:
    """A session that could not be set up, and two who stay with it."""
    door = Doorway(lambda: RuntimeUnavailable("no docker"))
    async with running_service(ServiceLayer(store=store, agents=DoorAgents(door))) as service:
        session = await service.open()
        followers = [Follower(service, session.event_stream.view.head) for _ in range(2)]
        await rest()
        assert not any(follower.task.done() for follower in followers)
        yield service, door, followers


async def test_they_get_the_events_of_the_next_session(store: SessionStore) -> None:
    async with failed(store) as (service, door, followers):
        head = (await service.gateway.describe(TALK)).head
        door.fault = None
        session = await service.open()
        await rest()
        expected = list(range(head + 1, session.event_stream.view.head + 1))
        assert expected
        for follower in followers:
            assert (follower.closed, follower.ids) == (["failed"], expected)


async def test_they_hear_of_each_new_title_once(store: SessionStore) -> None:
    async with failed(store) as (service, door, followers):
        for title in ("one", "two"):
            service.directory.retitled(TALK, title, LOCAL_OWNER)
            await rest()
        late = Follower(service, 0)
        await rest()
        door.fault = None
        await service.open()
        await rest()
        assert [follower.titles for follower in (*followers, late)] == [["one", "two"]] * 3


async def test_a_stop_is_told_after_what_it_recorded(store: SessionStore) -> None:
    async with failed(store) as (service, _, followers):
        head = (await service.gateway.describe(TALK)).head
        await service.gateway.close(TALK, "stopped")
        for follower in followers:
            await follower.over()
            assert (follower.ended, follower.ids) == ("stopped", [head + 1])


async def test_a_deleted_conversation_has_nothing_more_to_say(store: SessionStore) -> None:
    async with failed(store) as (service, _, followers):
        assert await service.conversations.delete(TALK)
        for follower in followers:
            await follower.over()
            assert (follower.ended, follower.ids) == ("deleted", [])


@pytest.mark.parametrize("reason", ["idle", "failed"])
async def test_they_stay_where_a_session_only_makes_room(store: SessionStore, reason: EndReason) -> None:
    async with failed(store) as (service, door, followers):
        await service.gateway.close(TALK, reason)
        await rest()
        assert not any(follower.task.done() for follower in followers)
        door.fault = None
        said = await service.gateway.submit(TALK, SendMessage(content="hi"))
        await rest()
        for follower in followers:
            assert said.id in follower.ids


async def test_a_stop_without_a_session_sends_them_away_too(store: SessionStore) -> None:
    async with failed(store) as (service, _, followers):
        await service.gateway.close(TALK, "idle")
        await service.gateway.close(TALK, "stopped")
        for follower in followers:
            await follower.over()
            assert follower.ended == "stopped"
