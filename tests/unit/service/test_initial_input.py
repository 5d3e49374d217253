"""Images and trajectories are kept apart from the rows that lists read, and nothing of what came to nothing."""

import json
from typing import Any

import pytest

from openhands_sessions.core.errors import AtCapacity, BadInput, StorageUnavailable
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId
from openhands_sessions.ports.gateway import SessionSpec
from openhands_sessions.ports.store import ConversationRow, LogBeginning, StoredLimits
from openhands_sessions.service.initial_input import InitialInputStore
from tests.fakes.files import MemoryFiles
from tests.fakes.memory_data import MemoryData, OpenedData
from tests.fakes.memory_store import MemoryConversations, open_memory
from tests.fakes.model import FakeModel, FakeModels
from tests.support.service_layer import TALK, ServiceLayer, running_service
from tests.support.session_harness import says, state


def trajectory(text: str = "go") -> str:
    said: dict[str, Any] = {"id": 0, "source": "user", "action": "message", "args": {"content": text}}
    done = {"id": 1, "source": "agent", "action": "finish", "args": {"final_thought": "Done."}}
    return json.dumps([said, done])


def spec(sid: str = "talk", **more: Any) -> SessionSpec:
    return SessionSpec(id=ConversationId(sid), create=True, replay_json=trajectory(), **more)


async def test_the_first_message_is_the_conversations_and_the_rest_is_kept() -> None:
    files = MemoryFiles()
    inputs = InitialInputStore(files)
    stored = await inputs.store(spec())
    made, replay = stored.spec, stored.replay
    assert (made.initial_message, made.replay_json) == ("go", None)
    assert replay is not None
    steps = await inputs.steps(TALK, replay)
    assert steps is not None
    assert [step.action.KIND for step in steps] == ["finish"]
    await inputs.forget(stored)
    assert await inputs.steps(TALK, replay) is None


@pytest.mark.parametrize("replayed", [True, False])
async def test_images_are_the_first_messages_and_no_list_reads_them(replayed: bool) -> None:
    image = f"data:image/png;base64,{'A' * 10_000}"
    said = {"id": 0, "source": "user", "action": "message", "args": {"content": "look", "image_urls": [image]}}
    asked: dict[str, Any] = {"initial_message": "look", "image_urls": (image,)}
    if replayed:
        asked = {"replay_json": json.dumps([said])}
    models = FakeModels(FakeModel([says("A cat.")]))
    async with open_memory() as store:
        service = ServiceLayer(store=store, models=models, layers=[{"llm_model": "fake"}])
        async with running_service(service):
            session = await service.open(**asked)
            await state(session, "awaiting_user_input")
            message = await session.event_stream.event(session.event_stream.view.first_message)
            assert isinstance(message, MessageAction)
            assert (message.content, message.image_urls) == ("look", (image,))
            [row] = await store.conversations.page(LOCAL_OWNER, limit=9)
            assert image not in json.dumps(row.settings)


async def test_a_damaged_file_counts_as_lost() -> None:
    files = MemoryFiles()
    inputs = InitialInputStore(files)
    replay = (await inputs.store(spec())).replay
    [key] = await files.list()
    assert replay is not None
    for damaged in (
        b"",
        b"{",
        b"{}",
        b"[7]",
        b'[{"action": {}}]',
        b'[{"action": 7, "outcome": null, "exit_code": null}]',
    ):
        await files.write(key, damaged)
        assert await inputs.steps(TALK, replay) is None


@pytest.mark.parametrize("wrong", [{"initial_message": "hi"}, {"replay_json": "[]"}])
async def test_what_is_refused_leaves_nothing(wrong: dict[str, Any]) -> None:
    files = MemoryFiles()
    with pytest.raises(BadInput):
        await InitialInputStore(files).store(SessionSpec(**{"id": TALK, "replay_json": trajectory(), **wrong}))
    assert await files.list() == []


async def test_it_is_replayed_and_goes_with_the_conversation() -> None:
    async with open_memory() as store, running_service(ServiceLayer(store=store)) as service:
        session = await service.open(replay_json=trajectory())
        await state(session, "finished")
        assert len(await service.files.list()) == 1
        await service.conversations.delete(TALK)
        assert await service.files.list() == []


class FullRows(MemoryConversations):
    async def create(
        self,
        row: ConversationRow,
        *,
        files: int = 0,
        limits: StoredLimits | None = None,
        begins: LogBeginning | None = None,
    ) -> None:
        raise StorageUnavailable("the disk is full")


async def test_where_no_conversation_can_be_made_nothing_is_kept() -> None:
    async with open_memory() as store, running_service(ServiceLayer(store=store)) as service:
        store.conversations = FullRows(OpenedData(MemoryData()))
        with pytest.raises(StorageUnavailable):
            await service.gateway.open(spec())
        assert await service.files.list() == []


async def test_without_room_nothing_is_kept() -> None:
    async with open_memory() as store, running_service(ServiceLayer(store=store, max_sessions=0)) as service:
        with pytest.raises(AtCapacity):
            await service.gateway.open(spec())
        assert await service.files.list() == []
