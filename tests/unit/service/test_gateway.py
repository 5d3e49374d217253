"""One door to the conversations of a store: made, joined, revived, and nobody else's."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from openhands_sessions.core.commands import Answer, Command, Pause, Resume, SendMessage, Stop
from openhands_sessions.core.errors import (
    BadInput,
    NotAccepting,
    NotFound,
    RuntimeUnavailable,
    StageFailed,
    StorageUnavailable,
)
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.codec import decode
from openhands_sessions.core.events.event import Source
from openhands_sessions.core.events.observations import AgentStateChangedObservation
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId, EventId, folder_name
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.ports.conversations import EventRange
from openhands_sessions.ports.gateway import SessionClosed, SessionEnded, SessionSpec, Status
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.idempotency import IdempotencyKey
from tests.fakes.files import MemoryFiles
from tests.fakes.model import FakeModel, FakeModels
from tests.fakes.openings import DoorAgents, Doorway
from tests.fakes.store import MortalStore
from tests.support.service_layer import ADA, BOB, TALK, ServiceLayer, running_service
from tests.support.session_harness import LONG, rest, state
from tests.support.store_entries import read

S = SessionState


def spec(**more: Any) -> SessionSpec:
    return SessionSpec(id=TALK, **{"create": True, **more})


async def words(store: SessionStore) -> list[str]:
    events = [decode(entry.text) for entry in await read(store.log(TALK))]
    return [event.content for event in events if isinstance(event, MessageAction) and event.source is Source.USER]


async def test_an_unknown_conversation_is_made_only_when_asked_for(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        with pytest.raises(NotFound):
            await service.gateway.open(spec(create=False))
        info = await service.gateway.open(spec(title="Mine", trigger="chat"))
        assert (info.id, info.owner, info.title, info.trigger) == (TALK, LOCAL_OWNER, "Mine", "chat")
        again = await service.gateway.open(spec(create=False, title="Other"))
        assert again.title == "Mine"


async def test_somebody_elses_conversation_is_like_an_unknown_one(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        await service.of(ADA).gateway.open(spec())
        bobs = service.of(BOB)
        with pytest.raises(NotFound) as foreign:
            await bobs.gateway.open(spec())
        calls = (
            lambda: bobs.gateway.open(SessionSpec(id=TALK)),
            lambda: bobs.gateway.submit(TALK, SendMessage(content="hi")),
            lambda: bobs.gateway.describe(TALK),
            lambda: bobs.gateway.ready(TALK, 1),
            lambda: bobs.gateway.close(TALK, "stopped"),
            lambda: bobs.conversations.check(TALK),
            lambda: bobs.conversations.rename(TALK, ""),
            lambda: bobs.conversations.events(TALK, EventRange()),
            lambda: bobs.conversations.remember_prompt(TALK, 1),
            lambda: anext(bobs.conversations.export(TALK)),
            lambda: bobs.workspaces.list_files(TALK),
            lambda: bobs.workspaces.read_text(TALK, "a"),
            lambda: bobs.workspaces.changes(TALK),
            lambda: bobs.workspaces.microagents(TALK),
        )
        for call in calls:
            with pytest.raises(NotFound) as unknown:
                await call()
            assert foreign.value.message == unknown.value.message
        async with service.of(ADA).gateway.follow(TALK, -1):
            with pytest.raises(NotFound):
                async with bobs.gateway.follow(TALK, -1):
                    pass
        assert bobs.gateway.session(TALK) is None
        assert not await bobs.conversations.delete(TALK)


async def test_two_who_make_the_same_conversation_get_the_same_one(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        infos = await asyncio.gather(*(service.gateway.open(spec()) for _ in range(10)))
        assert {info.id for info in infos} == {TALK}
        others = await asyncio.gather(
            *(service.of(BOB).gateway.open(spec(settings={"llm_api_key": "bobs"})) for _ in range(3)),
            return_exceptions=True,
        )
        assert {type(one) for one in others} == {NotFound}
        assert await service.files.list() == []


async def test_a_deleted_conversation_is_gone_and_its_id_with_it(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        await service.gateway.open(spec())
        assert await service.conversations.delete(TALK)
        for attempt in (
            service.gateway.open(spec(settings={"llm_api_key": "k"})),
            service.gateway.describe(TALK),
            service.gateway.submit(TALK, Stop()),
        ):
            with pytest.raises(NotFound):
                await attempt
        with pytest.raises(NotFound):
            async with service.gateway.follow(TALK, -1):
                pass
        assert await service.files.list() == []
        assert len(service.directory) == 0


async def test_wrong_settings_make_no_conversation(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        with pytest.raises(BadInput):
            await service.gateway.open(spec(settings={"llm_modle": "x"}))
        with pytest.raises(NotFound):
            await service.gateway.describe(TALK)


async def test_a_key_is_kept_apart_from_the_row_and_over_a_restart(store: SessionStore) -> None:
    files, models = MemoryFiles(), FakeModels(FakeModel([]))
    request = {"llm_model": "fake", "llm_api_key": "sk-very-secret", "max_iterations": 7}
    async with running_service(ServiceLayer(store=store, files=files, models=models)) as service:
        await service.open(settings=request)
        row = await store.conversations.get(TALK)
        assert row is not None
        assert "secret" not in str(row)
        assert await files.list() == [f"conversations/{folder_name(TALK)}/secrets.json"]
    async with running_service(ServiceLayer(store=store, files=files, models=models)) as service:
        session = await service.open()
        assert session.settings.max_iterations == 7
        assert await service.conversations.delete(TALK)
    assert [one.api_key for one in models.opened] == ["sk-very-secret"] * 2
    assert await files.list() == []


async def test_the_operators_key_does_not_follow_a_users_address(store: SessionStore) -> None:
    models = FakeModels(FakeModel([]))
    layers = [{"llm_model": "fake", "llm_api_key": "operators", "llm_base_url": "https://ours"}]
    async with running_service(ServiceLayer(store=store, models=models, layers=layers)) as service:
        await service.open("ours")
        await service.open("theirs", settings={"llm_base_url": "https://theirs"})
    assert [(one.base_url, one.api_key) for one in models.opened] == [
        ("https://ours", "operators"),
        ("https://theirs", None),
    ]


async def test_an_opening_message_is_said_once_however_often_it_is_opened(store: SessionStore) -> None:
    for _ in range(3):
        async with running_service(ServiceLayer(store=store)) as service:
            session = await service.open(initial_message="hi", image_urls=("data:x",))
            await state(session, "awaiting_user_input")
    assert await words(store) == ["hi"]


async def test_a_command_revives_a_conversation_after_a_restart(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        await service.open()
        first = await service.gateway.submit(TALK, SendMessage(content="hi"), key="k")
    async with running_service(ServiceLayer(store=store)) as service:
        assert await service.gateway.submit(TALK, SendMessage(content="hi"), key="k") == first
        with pytest.raises(BadInput):
            await service.gateway.submit(TALK, SendMessage(content="other"), key="k")
    assert await words(store) == ["hi"]


async def test_a_follower_gets_the_stored_and_the_live_and_the_reason_of_the_end(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        await service.open()
        seen: list[int] = []

        async def follows() -> str:
            async with service.gateway.follow(TALK, -1) as news:
                try:
                    async for one in news:
                        seen.extend(entry.id for entry in one if not isinstance(one, Status))  # type: ignore[union-attr]
                except SessionEnded as end:
                    return end.reason
            return "never"

        following = asyncio.create_task(follows())
        await rest()
        await service.gateway.submit(TALK, SendMessage(content="hi"))
        await rest()
        await service.gateway.close(TALK, "stopped")
        async with asyncio.timeout(LONG):
            assert await following == "stopped"
    assert seen == list(range(len(await read(store.log(TALK)))))


async def test_following_revives_a_conversation(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        await service.open()
    async with running_service(ServiceLayer(store=store)) as service:
        async with asyncio.timeout(LONG), service.gateway.follow(TALK, 1) as news:
            async with aclosing(news) as stored:  # type: ignore[type-var]
                batch: Any = await anext(stored)
            assert batch[0].id == 2
        assert len(service.directory) == 1


async def test_a_description_is_true_in_every_state(store: SessionStore, gate: asyncio.Event) -> None:
    door = Doorway(held=gate)
    async with running_service(ServiceLayer(store=store, agents=DoorAgents(door))) as service:
        await service.gateway.open(spec())
        await door.entered.wait()
        info = await service.gateway.describe(TALK)
        assert (info.state, info.runtime_status) == (S.AGENT_SETUP, "STATUS$SETTING_UP_AGENT")
        gate.set()
        session = await service.open()
        info = await service.gateway.describe(TALK)
        assert (info.state, info.runtime_status, info.head) == (S.READY, "STATUS$READY", session.event_stream.view.head)
        assert (info.agent_state, info.last_state) == ("awaiting_user_input", session.event_stream.view.last_state)
        await service.gateway.close(TALK, "idle")
        info = await service.gateway.describe(TALK)
        assert (info.state, info.runtime_status, info.agent_state, info.followers) == (None, None, None, 0)
        assert info.head == session.event_stream.view.head
        door.fault = lambda: RuntimeUnavailable("no docker")
        await service.open()
        info = await service.gateway.describe(TALK)
        assert (info.state, info.runtime_status) == (S.ERROR, "STATUS$ERROR")
        assert "no docker" in (info.problem or "")


async def test_a_command_to_a_session_that_cannot_be_set_up_says_why(store: SessionStore) -> None:
    door = Doorway(lambda: RuntimeUnavailable("no docker"))
    async with running_service(ServiceLayer(store=store, agents=DoorAgents(door))) as service:
        await service.gateway.open(spec())
        for _ in range(2):
            with pytest.raises(StageFailed, match="no docker"):
                await service.gateway.submit(TALK, SendMessage(content="hi"))
    assert await words(store) == []


async def test_a_stop_of_a_session_that_cannot_be_set_up_is_recorded_once_for_each_key(store: SessionStore) -> None:
    door = Doorway(lambda: RuntimeUnavailable("no docker"))
    async with running_service(ServiceLayer(store=store, agents=DoorAgents(door))) as service:
        await service.open()
        stopped = await service.gateway.submit(TALK, Stop(), key="a")
        assert (await service.gateway.describe(TALK)).last_state == stopped.id
        assert await service.gateway.submit(TALK, Stop(), key="a") == stopped
    told = [decode(entry.text) for entry in await read(store.log(TALK))]
    states = [one.agent_state for one in told if isinstance(one, AgentStateChangedObservation)]
    assert states == ["loading", "error", "stopped", "error"]


async def test_a_stop_that_names_a_turn_hits_no_other_one_of_a_session_that_cannot_be_set_up(
    store: SessionStore,
) -> None:
    door = Doorway(lambda: RuntimeUnavailable("no docker"))
    async with running_service(ServiceLayer(store=store, agents=DoorAgents(door))) as service:
        session = await service.open()
        head = session.event_stream.view.head
        with pytest.raises(NotAccepting, match="turn 12 is not under way"):
            await service.gateway.submit(TALK, Stop(EventId(12)))
        assert session.event_stream.view.head == head


async def test_a_stop_of_a_session_that_does_not_know_its_log_is_refused(store: SessionStore) -> None:
    refusing = MortalStore(store, dies_at=0, stored=False)
    refusing.refusal = StorageUnavailable("the disk is full")
    refusing.dead.set()
    async with running_service(ServiceLayer(store=refusing)) as service:
        with pytest.raises(StorageUnavailable):
            await service.open()
        with pytest.raises(StageFailed, match="the disk is full"):
            await service.gateway.submit(TALK, Stop())


async def test_a_refusal_of_a_session_that_goes_on_is_not_tried_again(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        session = await service.open()
        with pytest.raises(NotAccepting, match="awaits an answer"):
            await service.gateway.submit(TALK, Answer(confirmed=True))
        assert service.directory.find(TALK) is session


async def test_a_new_title_is_told_to_whoever_follows(store: SessionStore) -> None:
    async with running_service(ServiceLayer(store=store)) as service:
        session = await service.open()
        async with service.gateway.follow(TALK, session.event_stream.view.head) as news:
            asyncio.get_running_loop().call_soon(service.directory.retitled, TALK, "New", LOCAL_OWNER)
            assert await anext(news) == Status("info", None, TALK, title="New")
        service.directory.retitled(ConversationId("unknown"), "x", LOCAL_OWNER)


def test_a_digest_tells_commands_apart_and_knows_the_same_again() -> None:
    commands: list[Command] = [
        SendMessage(content="a"),
        SendMessage(content="b"),
        SendMessage(content="a", image_urls=("x",)),
        SendMessage(content="a\ud800"),
        Stop(),
        Pause(),
        Resume(),
        Answer(confirmed=True),
        Answer(confirmed=False),
        Answer(confirmed=True, action=EventId(3)),
    ]
    assert len({IdempotencyKey.of("k", command) for command in commands}) == len(commands)
    assert IdempotencyKey.of("k", SendMessage(content="a")) == IdempotencyKey.of("k", SendMessage(content="a"))


async def end_of(service: ServiceLayer) -> str:
    """Follow to the end, and return why it came."""
    async with asyncio.timeout(LONG), service.gateway.follow(TALK, -1) as items:
        try:
            async for item in items:
                if isinstance(item, SessionClosed):
                    return item.reason
        except SessionEnded as end:
            return end.reason
    return "never"


async def test_a_failed_session_is_not_built_anew_by_those_who_only_follow(store: SessionStore) -> None:
    door = Doorway(lambda: RuntimeUnavailable("no docker"))
    async with running_service(ServiceLayer(store=store, agents=DoorAgents(door))) as service:
        failed = await service.open()
        for _ in range(3):
            assert await end_of(service) == "failed"
        assert service.directory.find(TALK) is failed


@pytest.mark.parametrize("reason", ["stopped", "deleted"])
async def test_closing_is_true_in_a_description_too(store: SessionStore, reason: Any, gate: asyncio.Event) -> None:
    door = Doorway(stuck=gate)
    async with running_service(ServiceLayer(store=store, agents=DoorAgents(door))) as service:
        await service.open()
        closing = asyncio.create_task(service.gateway.close(TALK, reason))
        async with asyncio.timeout(LONG):
            await door.left.wait()
        info = await service.gateway.describe(TALK)
        assert (info.state, info.runtime_status) == (S.CLOSING, "STATUS$STOPPED")
        gate.set()
        await closing
