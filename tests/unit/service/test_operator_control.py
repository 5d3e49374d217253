"""What operators do to sessions of any user."""

import asyncio

import pytest

from openhands_sessions.core.errors import AtCapacity, BadInput, LimitReached, NotFound
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.ports.gateway import SessionSpec
from openhands_sessions.ports.operations import LimitChanges, SessionLimits
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.service.operator_control import OperatorControl
from tests.fakes.model import FakeModel, FakeModels, FakeReply
from tests.support.service_layer import ADA, BOB, TALK, ServiceLayer, running_service
from tests.support.session_harness import state

OLGA = OwnerId("olga")
UNKNOWN = ConversationId("unknown")


async def test_a_stop_ends_the_turn_and_leaves_the_session(store: SessionStore, gate: asyncio.Event) -> None:
    models = FakeModels(FakeModel([FakeReply(text="Hm.", hold=gate)]))
    async with running_service(ServiceLayer(store=store, models=models)) as service:
        session = await service.open(owner=ADA, initial_message="hi", settings={"llm_model": "fake"})
        running = await state(session, "running")
        accepted = await OperatorControl(service.sessions).stop_turn(TALK, OLGA)
        assert accepted.turn == running.turn
        assert (await session.event_stream.event(accepted.id)).author == OLGA
        await state(session, "stopped", accepted.id)
        assert session.accepting


async def test_a_stop_while_nothing_runs_is_accepted_and_names_no_turn(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        await service.open(owner=ADA)
        assert (await OperatorControl(service.sessions).stop_turn(TALK, OLGA)).turn is None


async def test_a_close_ends_the_session(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        session = await service.open(owner=ADA)
        await OperatorControl(service.sessions).close_session(TALK, OLGA)
        assert session.state is SessionState.CLOSED
        assert (await service.of(ADA).gateway.describe(TALK)).state is None


async def test_what_is_not_live_is_not_found(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        control = OperatorControl(service.sessions)
        await service.open(owner=ADA)
        await service.directory.close(TALK, "idle")
        for sid in (UNKNOWN, TALK):
            with pytest.raises(NotFound):
                await control.stop_turn(sid, OLGA)
            with pytest.raises(NotFound):
                await control.close_session(sid, OLGA)


async def test_limits_count_from_then_on_and_what_is_live_stays(store: SessionStore, gate: asyncio.Event) -> None:
    models = FakeModels(FakeModel([FakeReply(text="Hm.", hold=gate)] * 9))
    async with running_service(ServiceLayer(store=store, models=models, per_user=5, per_address=5)) as service:
        control = OperatorControl(service.sessions)

        async def works(name: str) -> None:
            session = await service.open(name, ADA, initial_message="hi", settings={"llm_model": "fake"})
            await state(session, "running")

        await works("one")
        await works("two")
        control.set_limits(LimitChanges(max_sessions_per_user=1), OLGA)
        assert service.sessions.limits == SessionLimits(total=10, per_user=1, per_address=5)
        with pytest.raises(LimitReached, match="one user may have 1"):
            await works("three")
        assert len(service.directory) == 2
        control.set_limits(LimitChanges(max_sessions=2, max_sessions_per_user=9, max_sessions_per_address=7), OLGA)
        assert service.sessions.limits == SessionLimits(total=2, per_user=9, per_address=7)
        with pytest.raises(AtCapacity, match="may hold 2"):
            await works("three")
        control.set_limits(LimitChanges(max_sessions=3), OLGA)
        await works("three")


@pytest.mark.parametrize("name", ["max_sessions_per_user", "max_sessions_per_address"])
async def test_a_limit_of_users_that_are_not_told_apart_is_refused_and_changes_nothing(
    store: SessionStore, name: str
) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        with pytest.raises(BadInput, match=name):
            OperatorControl(service.sessions).set_limits(LimitChanges(max_sessions=3, **{name: 3}), OLGA)
        assert service.sessions.limits == SessionLimits(total=10)


async def test_a_server_that_drains_begins_no_session_and_those_that_are_live_go_on(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        control, sessions = OperatorControl(service.sessions), service.sessions
        session = await service.open("live", ADA)
        control.drain(True, OLGA)
        assert sessions.draining
        assert sessions.has_room(None)
        assert sessions.has_room("live")
        assert not sessions.has_room("new")
        assert await service.open("live", ADA) is session
        with pytest.raises(AtCapacity, match="draining"):
            await service.of(BOB).gateway.open(SessionSpec(id=TALK, create=True))
        assert await store.conversations.get(TALK) is None
        control.drain(False, OLGA)
        await service.open("new", ADA)
