"""Which sessions live: never more than allowed, one for each conversation, none for ever."""

import asyncio

import pytest

from openhands_sessions.core.commands import SendMessage
from openhands_sessions.core.errors import AtCapacity, NotAccepting, RuntimeUnavailable
from openhands_sessions.core.events.event import AgentState
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.ports.gateway import SessionSpec
from openhands_sessions.ports.operations import Overview
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.agent_session import AgentSession
from tests.fakes.model import FakeModel, FakeModels, FakeReply
from tests.fakes.openings import DoorAgents, Doorway
from tests.support.service_layer import TALK, ServiceLayer, running_service
from tests.support.session_harness import LONG, rest, say, state

S = SessionState


def spec(number: int) -> SessionSpec:
    return SessionSpec(id=ConversationId(f"talk-{number}"), create=True)


async def busy(service: ServiceLayer, count: int) -> list[AgentSession]:
    """Sessions that may not be closed for being idle."""
    sessions = []
    for number in range(count):
        session = await service.open(f"busy-{number}", settings={"llm_model": "fake"})
        await say(session, "think!")
        sessions.append(session)
    return sessions


def thinking(gate: asyncio.Event, count: int = 10) -> FakeModels:
    return FakeModels(FakeModel([FakeReply(text="Hm.", hold=gate)] * count))


@pytest.mark.parametrize("limit", [1, 7])
async def test_the_limit_is_kept_to_the_last_under_a_hundred_openings_at_once(
    store: SessionStore, limit: int, gate: asyncio.Event
) -> None:
    async with running_service(ServiceLayer(store=store, max_sessions=limit, models=thinking(gate))) as service:
        most = 0

        async def opens(number: int) -> None:
            nonlocal most
            try:
                await service.gateway.open(spec(number))
                session = service.directory.find(spec(number).id)
                if session is not None:
                    await session.submit(SendMessage(content="think!"))
            finally:
                most = max(most, len(service.directory))

        async with asyncio.timeout(LONG):
            outcomes = await asyncio.gather(*(opens(number) for number in range(100)), return_exceptions=True)
        assert most <= limit
        assert len(service.directory) == limit
        assert {type(one) for one in outcomes if one is not None} <= {AtCapacity, NotAccepting}


async def test_busy_sessions_keep_their_place(store: SessionStore, gate: asyncio.Event) -> None:
    async with running_service(ServiceLayer(store=store, max_sessions=3, models=thinking(gate))) as service:
        sessions = await busy(service, 3)
        assert service.directory.full
        with pytest.raises(AtCapacity):
            await service.gateway.open(spec(1))
        assert [session.state for session in sessions] == [S.RUNNING] * 3
        assert await store.conversations.get(spec(1).id) is None


async def test_the_longest_idle_makes_room(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store, max_sessions=2)) as service:
        first, second = await service.open("first"), await service.open("second")
        assert not service.directory.full
        third = await service.open("third")
        assert [session.state for session in (first, second, third)] == [S.CLOSED, S.READY, S.READY]


async def test_a_session_that_is_watched_keeps_its_place(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store, max_sessions=2)) as service:
        first = await service.open("first")
        await service.open("second")
        async with service.gateway.follow(ConversationId("first"), -1) as news:
            await anext(news)
            await service.open("third")
            assert first.state is S.READY
            async with service.gateway.follow(ConversationId("third"), -1) as more:
                await anext(more)
                assert service.directory.full
                with pytest.raises(AtCapacity):
                    await service.open("fourth")
        assert not service.directory.full


async def test_whoever_comes_to_a_live_session_joins_it(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store, max_sessions=1)) as service:
        sessions = await asyncio.gather(*(service.open() for _ in range(20)))
        assert len({id(session) for session in sessions}) == 1
        assert len(service.directory) == 1


async def closed(service: ServiceLayer) -> None:
    """Wait until no session lives."""
    async with asyncio.timeout(LONG):
        async for _ in service.board.watch():
            if not service.board.sessions:
                break
    await rest()


async def test_a_session_is_closed_when_it_was_idle_for_long(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store, idle_timeout=0.0)) as service:
        session = await service.open()
        await closed(service)
        assert session.state is S.CLOSED
        assert len(service.directory) == 0


async def test_a_session_that_is_watched_is_not_idle_until_the_last_has_left(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store, idle_timeout=0.005)) as service:
        session = await service.open()
        async with service.gateway.follow(TALK, -1) as news, service.gateway.follow(TALK, -1) as more:
            await anext(news)
            await anext(more)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.03):
                    await anext(news)
            assert session.state is S.READY
        await closed(service)


async def test_a_session_that_works_is_not_idle(store: SessionStore, gate: asyncio.Event) -> None:
    async with running_service(ServiceLayer(store=store, idle_timeout=0.005, models=thinking(gate))) as service:
        [session] = await busy(service, 1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.03):
                await closed(service)
        assert session.state is S.RUNNING
        gate.set()
        await closed(service)


async def test_a_session_fails_in_one_moment_for_its_readers(store: SessionStore) -> None:
    door = Doorway(lambda: RuntimeUnavailable("no"))
    async with running_service(ServiceLayer(store=store, agents=DoorAgents(door))) as service:
        seen: list[tuple[S, AgentState]] = []

        async def watch() -> None:
            async for news in service.board.watch():
                if not isinstance(news, Overview):
                    seen.extend((each.state, each.agent_state) for each in news)

        watching = asyncio.create_task(watch())
        await service.open()
        await rest()
        watching.cancel()
        await asyncio.wait([watching])
        assert (S.ERROR, AgentState.ERROR) in seen
        assert {agent for state, agent in seen if state is S.ERROR} == {AgentState.ERROR}
        assert {state for state, agent in seen if agent is AgentState.ERROR} == {S.ERROR}


async def test_a_failed_session_is_replaced(store: SessionStore) -> None:
    door = Doorway(lambda: RuntimeUnavailable("no"))
    async with running_service(ServiceLayer(store=store, agents=DoorAgents(door))) as service:
        first = await service.open()
        assert first.state is S.ERROR
        door.fault = None
        second = await service.open()
        assert (first.state, second.state) == (S.CLOSED, S.READY)
        assert len(service.directory) == 1


async def test_a_session_that_closes_just_then_is_waited_for_and_replaced(
    store: SessionStore, gate: asyncio.Event
) -> None:
    door = Doorway(stuck=gate)
    async with running_service(ServiceLayer(store=store, agents=DoorAgents(door))) as service:
        first = await service.open()
        closing = asyncio.create_task(service.gateway.close(TALK, "stopped"))
        await rest()
        opening = asyncio.create_task(service.open())
        saying = asyncio.create_task(service.gateway.submit(TALK, SendMessage(content="hi")))
        await rest()
        assert not opening.done()
        assert not saying.done()
        gate.set()
        async with asyncio.timeout(LONG):
            second = await opening
            await closing
            accepted = await saying
        assert (first.state, second is first) == (S.CLOSED, False)
        assert (await second.event_stream.event(accepted.id)).describe() == "hi"


async def test_a_server_that_shuts_down_accepts_nobody(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        session = await service.open()
        async with asyncio.timeout(LONG):
            await service.directory.close_all("shutdown")
        assert session.state is S.CLOSED
        assert service.directory.full
        with pytest.raises(AtCapacity, match="shutting down"):
            await service.gateway.open(spec(1))


async def test_many_sessions_are_closed_side_by_side(store: SessionStore, gate: asyncio.Event) -> None:
    async with running_service(ServiceLayer(store=store, max_sessions=100, models=thinking(gate, 50))) as service:
        await busy(service, 50)
        async with asyncio.timeout(LONG):
            await service.directory.close_all("shutdown")
        assert len(service.directory) == 0


async def test_closing_what_is_not_there_is_nothing(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        await service.directory.close(TALK, "stopped")
        service.directory.released(TALK)
        assert service.directory.find(TALK) is None


async def test_an_idle_failed_session_does_not_hold_a_place(store: SessionStore) -> None:
    door = Doorway(lambda: RuntimeUnavailable("no"))
    async with running_service(ServiceLayer(store=store, agents=DoorAgents(door), max_sessions=1)) as service:
        failed = await service.open("failed")
        await rest()
        door.fault = None
        other = await service.open("other")
        assert (failed.state, other.state) == (S.CLOSED, S.READY)
        await state(other, "awaiting_user_input")
