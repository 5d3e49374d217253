"""How many sessions of one user, from one address, and in all may live; a refusal leaves nothing behind."""

import asyncio
from collections import Counter

import pytest

from openhands_sessions.core.commands import SendMessage
from openhands_sessions.core.errors import AtCapacity, LimitReached, RuntimeUnavailable, StorageUnavailable
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.ports.gateway import SessionSpec
from openhands_sessions.ports.store import SessionStore
from tests.fakes.model import FakeModel, FakeModels, FakeReply
from tests.fakes.openings import DoorAgents, Doorway
from tests.support.service_layer import ServiceLayer, running_service
from tests.support.session_harness import LONG

ADA, BOB = OwnerId("ada"), OwnerId("bob")


def thinking(gate: asyncio.Event) -> FakeModels:
    return FakeModels(FakeModel([FakeReply(text="Hm.", hold=gate)] * 100))


async def works(service: ServiceLayer, name: str, owner: OwnerId = ADA, address: str = "") -> None:
    """Open a conversation whose session is in a turn."""
    gateway = service.of(owner, address).gateway
    sid = ConversationId(name)
    await gateway.open(SessionSpec(id=sid, create=True, settings={"llm_model": "fake"}))
    async with asyncio.timeout(LONG):
        await gateway.submit(sid, SendMessage(content="think!"))


async def test_one_user_is_refused_and_the_others_are_not(store: SessionStore, gate: asyncio.Event) -> None:
    layer = ServiceLayer(store=store, per_user=2, models=thinking(gate))
    async with running_service(layer) as service:
        await works(service, "one")
        await works(service, "two")
        with pytest.raises(LimitReached, match="you have 2 live sessions, and one user may have 2") as refused:
            await works(service, "three")
        assert (refused.value.limit, refused.value.count, refused.value.retry_after) == (2, 2, 10.0)
        assert await store.conversations.get(ConversationId("three")) is None
        await works(service, "another", BOB)


async def test_one_address_is_refused_whoever_calls_from_it(store: SessionStore, gate: asyncio.Event) -> None:
    layer = ServiceLayer(store=store, per_user=9, per_address=2, models=thinking(gate))
    async with running_service(layer) as service:
        await works(service, "one", ADA, "192.0.2.1")
        await works(service, "two", BOB, "192.0.2.1")
        with pytest.raises(LimitReached, match="your address has 2 live sessions"):
            await works(service, "three", OwnerId("eve"), "192.0.2.1")
        await works(service, "four", OwnerId("eve"), "192.0.2.2")


async def test_the_users_own_idle_session_makes_room_and_nobody_elses(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store, per_user=1)) as service:
        other = await service.open("other", BOB)
        first = await service.open("first", ADA)
        await service.open("second", ADA)
        assert not first.accepting
        assert other.accepting


@pytest.mark.parametrize(("per_user", "total"), [(10, 1_000), (None, 5)])
async def test_of_forty_creations_at_once_as_many_succeed_as_may(
    store: SessionStore, gate: asyncio.Event, per_user: int | None, total: int
) -> None:
    layer = ServiceLayer(store=store, per_user=per_user, max_sessions=total, models=thinking(gate))
    async with running_service(layer) as service:
        async with asyncio.timeout(LONG):
            outcomes = await asyncio.gather(
                *(works(service, f"talk-{number}") for number in range(40)), return_exceptions=True
            )
        told = Counter(type(outcome) for outcome in outcomes)
        admitted = per_user or total
        assert len(service.directory) <= admitted
        assert told[LimitReached if per_user else AtCapacity] >= 40 - 2 * admitted
        assert await store.conversations.count(ADA) == 40 - told[LimitReached] - told[AtCapacity]


async def test_a_creation_that_fails_or_is_cancelled_leaves_its_place_to_the_next(
    store: SessionStore, gate: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = ServiceLayer(store=store, per_user=1, models=thinking(gate))
    async with running_service(layer) as service:
        create, waits = store.conversations.create, asyncio.Event()

        async def fail(row: object, **more: object) -> None:
            raise StorageUnavailable("the disk is full")

        async def hang(row: object, **more: object) -> None:
            waits.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(store.conversations, "create", fail)
        with pytest.raises(StorageUnavailable):
            await works(service, "failing")
        monkeypatch.setattr(store.conversations, "create", hang)
        hanging = asyncio.create_task(works(service, "cancelled"))
        async with asyncio.timeout(LONG):
            await waits.wait()
        with pytest.raises(LimitReached):
            await works(service, "meanwhile")
        hanging.cancel()
        await asyncio.wait([hanging])
        monkeypatch.setattr(store.conversations, "create", create)
        await works(service, "next")


async def test_a_session_that_failed_gives_its_place_to_the_one_that_replaces_it(store: SessionStore) -> None:
    door = Doorway(lambda: RuntimeUnavailable("no engine"))
    layer = ServiceLayer(store=store, per_user=1, max_sessions=1, agents=DoorAgents(door))
    async with running_service(layer) as service:
        assert (await service.open("talk", ADA)).problem is not None
        door.fault = None
        assert (await service.open("talk", ADA)).problem is None


async def test_a_user_stores_so_many_conversations_and_no_more(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store, max_conversations=2)) as service:
        await service.open("one", ADA)
        await service.open("two", ADA)
        with pytest.raises(LimitReached, match="you have 2 conversations, as many as one user may have: delete one"):
            await service.open("three", ADA)
        await service.open("other", BOB)
        assert await service.of(ADA).conversations.delete(ConversationId("one"))
        await service.open("three", ADA)


async def test_of_conversations_that_are_created_at_once_as_many_are_stored_as_may(store: SessionStore) -> None:
    layer = ServiceLayer(store=store, max_conversations=5, max_sessions=50)
    async with running_service(layer) as service:
        created = await asyncio.gather(*(service.open(f"c{i}", ADA) for i in range(20)), return_exceptions=True)
        refused = [outcome for outcome in created if isinstance(outcome, BaseException)]
        assert {type(outcome) for outcome in refused} == {LimitReached}
        assert len(created) - len(refused) == 5
        assert await store.conversations.count(ADA) == 5


async def test_a_user_whose_conversations_take_too_much_creates_none_until_one_is_deleted(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store, max_stored_bytes=100_000)) as service:
        await service.open("large", ADA, initial_message="x" * 100_000)
        with pytest.raises(LimitReached, match=r"take 0\.\d MB, and those of one user may take 0\.1 MB: delete one"):
            await service.open("next", ADA)
        await service.open("other", BOB)
        assert await service.of(ADA).conversations.delete(ConversationId("large"))
        await service.open("next", ADA)
