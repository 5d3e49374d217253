"""The kinds that each contract is held against. A new kind is one more parameter."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from openhands_sessions.adapters.stores.memory import open_memory
from openhands_sessions.adapters.stores.sqlite import open_sqlite
from openhands_sessions.ports.store import EventLog, OpenStore, SessionStore
from tests.support.logs import OTHER, TALK, row


@pytest.fixture(params=["memory", "sqlite"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> OpenStore:
    kinds: dict[str, OpenStore] = {"memory": open_memory, "sqlite": partial(open_sqlite, tmp_path / "sessions.db")}
    return kinds[request.param]


@pytest.fixture
async def store(open_store: OpenStore) -> AsyncIterator[SessionStore]:
    """With the conversations TALK and OTHER in it."""
    async with open_store() as store:
        await store.conversations.create(row(TALK))
        await store.conversations.create(row(OTHER))
        yield store


@pytest.fixture
def log(store: SessionStore) -> EventLog:
    """That of TALK."""
    return store.log(TALK)
