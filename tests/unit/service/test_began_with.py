"""The settings that a conversation began with hold until its user stops it."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from openhands_sessions.core.ids import LOCAL_OWNER
from openhands_sessions.ports.store import SessionStore
from tests.fakes.files import MemoryFiles
from tests.fakes.model import FakeModel, FakeModels
from tests.support.service_layer import TALK, ServiceLayer, running_service

ON: Sequence[dict[str, Any]] = [{"confirmation_mode": True, "max_iterations": 7, "llm_model": "first"}]
OFF: Sequence[dict[str, Any]] = [{"max_iterations": 9, "security_analyzer": "rules", "llm_model": "second"}]


def server(
    store: SessionStore, layers: Sequence[dict[str, Any]], files: MemoryFiles | None = None
) -> AbstractAsyncContextManager[ServiceLayer]:
    models = FakeModels(FakeModel([]))
    return running_service(ServiceLayer(store=store, layers=layers, models=models, files=files or MemoryFiles()))


async def test_they_hold_over_a_restart_whatever_the_operator_has_configured_since(store: SessionStore) -> None:
    async with server(store, ON) as service:
        await service.open()
    async with server(store, OFF) as service:
        held = (await service.open()).settings
        assert (held.confirmation_mode, held.max_iterations, held.security_analyzer) == (True, 7, None)
        assert held.llm_model == "second", "the model is reached as it is reached now"
        fresh = (await service.open("another")).settings
        assert (fresh.confirmation_mode, fresh.max_iterations, fresh.security_analyzer) == (False, 9, "rules")


@pytest.mark.parametrize("reason", ["idle", "failed", "shutdown"])
async def test_they_hold_when_the_session_ends_by_itself_whatever_the_user_has_chosen_since(
    store: SessionStore, reason: Any
) -> None:
    async with server(store, ON) as service:
        await service.open()
        await service.settings.store(LOCAL_OWNER, {"confirmation_mode": False, "max_iterations": 3})
        await service.directory.close(TALK, reason)
        held = (await service.open()).settings
        assert (held.confirmation_mode, held.max_iterations) == (True, 7)


async def test_after_a_stop_it_begins_with_those_of_the_day_and_keeps_them(store: SessionStore) -> None:
    files = MemoryFiles()
    async with server(store, ON, files) as service:
        await service.open()
        await service.settings.store(LOCAL_OWNER, {"confirmation_mode": False})
        await service.gateway.close(TALK, "stopped")
        assert (await service.open()).settings.confirmation_mode is False
        await service.settings.store(LOCAL_OWNER, {"confirmation_mode": True})
    async with server(store, ON, files) as service:
        assert (await service.open()).settings.confirmation_mode is False


async def test_what_the_request_itself_named_holds_after_a_stop_too(store: SessionStore) -> None:
    async with server(store, OFF) as service:
        await service.open(settings={"confirmation_mode": True})
        await service.gateway.close(TALK, "stopped")
        held = (await service.open()).settings
        assert (held.confirmation_mode, held.max_iterations) == (True, 9)


async def test_a_conversation_of_an_earlier_version_keeps_those_that_it_is_opened_with_next(
    store: SessionStore,
) -> None:
    async with server(store, ON) as service:
        await service.open()
    await store.conversations.update(TALK, {"began_with": None})
    for layers in (OFF, ON):
        async with server(store, layers) as service:
            assert (await service.open()).settings.confirmation_mode is False
