"""After a start, and while the server ends, what was live is described as running: its clients are about to be back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from openhands_sessions.core.ids import ConversationId
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.ports.gateway import SessionInfo, SessionSpec
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.protocol.conversations import ConversationOut
from openhands_sessions.service.expected_clients import ExpectedClients
from tests.fakes.files import MemoryFiles
from tests.support.list_reader import reading_list
from tests.support.service_layer import TALK, ServiceLayer, running_service
from tests.support.session_harness import LONG

BACK = ("RUNNING", "STATUS$READY", "/api/conversations/talk")
GONE = ("STOPPED", None, None)


def shown(info: SessionInfo) -> tuple[str, str | None, str | None]:
    """What the V0 client reads of a conversation before it opens its socket."""
    wire = ConversationOut.of(info)
    return wire.status, wire.runtime_status, wire.url


@asynccontextmanager
async def started(store: SessionStore, files: MemoryFiles) -> AsyncIterator[ServiceLayer]:
    """A server, from its start to its shutdown."""
    async with running_service(ServiceLayer(store=store, files=files)) as service:
        await service.sessions.expect_clients()
        yield service
        await service.sessions.close_all("shutdown")


async def test_what_was_live_is_running_for_who_looks_before_coming_back(store: SessionStore) -> None:
    files = MemoryFiles()
    async with started(store, files) as service:
        for sid in ("talk", "stopped", "idle"):
            await service.open(sid)
        await service.gateway.close(ConversationId("stopped"), "stopped")
        await service.directory.close(ConversationId("idle"), "idle")
    async with started(store, files) as service:
        info = await service.gateway.describe(TALK)
        assert (shown(info), info.state) == (BACK, None)
        listed = (await service.conversations.page(limit=9)).conversations
        assert {each.id: shown(each)[0] for each in listed} == {
            "talk": "RUNNING",
            "stopped": "STOPPED",
            "idle": "STOPPED",
        }


async def test_it_is_so_once_the_last_server_has_died_without_a_word(store: SessionStore) -> None:
    async with started(store, MemoryFiles()) as service:
        await service.open()
    await store.claim(TALK)
    async with started(store, MemoryFiles()) as service:
        assert shown(await service.gateway.describe(TALK)) == BACK


async def test_while_the_server_ends_nothing_that_was_live_is_called_stopped(store: SessionStore) -> None:
    async with started(store, MemoryFiles()) as service:
        await service.open()
        await service.sessions.close_all("shutdown")
        assert shown(await service.gateway.describe(TALK)) == BACK


async def test_who_is_back_sees_the_session_as_it_is(store: SessionStore) -> None:
    files = MemoryFiles()
    async with started(store, files) as service:
        await service.open()
    async with started(store, files) as service:
        assert shown(await service.gateway.open(SessionSpec(id=TALK))) == BACK, "also while it is set up"
        await service.open()
        info = await service.gateway.describe(TALK)
        assert (info.expected, info.state) == (False, SessionState.READY)


async def test_a_conversation_that_is_stopped_before_its_client_is_back_is_stopped(store: SessionStore) -> None:
    files = MemoryFiles()
    async with started(store, files) as service:
        await service.open()
    async with started(store, files) as service, reading_list(service.conversations) as reader:
        assert shown(reader.rows[TALK]) == BACK
        await service.gateway.close(TALK, "stopped")
        assert shown(await service.gateway.describe(TALK)) == GONE
        await reader.until(lambda: shown(reader.rows[TALK]) == GONE)


async def test_who_does_not_come_back_is_waited_for_no_longer_than_the_grace(store: SessionStore) -> None:
    files = MemoryFiles()
    await ExpectedClients(files, store).end([TALK])
    over, told = ExpectedClients(files, store, grace=0), asyncio.Event()
    over.over = told.set
    await over.begin()
    assert TALK not in over
    async with asyncio.timeout(LONG):
        await told.wait()
    assert await files.list() == [], "the note is for one start"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"live": 7}', b'{"live": [7, null]}'])
async def test_a_damaged_note_is_no_note(store: SessionStore, content: bytes, tmp_path: Path) -> None:
    files = MemoryFiles()
    await files.write("server/live.json", content)
    expected = ExpectedClients(files, store)
    await expected.begin()
    assert TALK not in expected
