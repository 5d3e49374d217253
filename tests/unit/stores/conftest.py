"""An SQLite store in a folder of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from openhands_sessions.adapters.stores.sqlite import SqliteStore, open_sqlite
from tests.support.store_entries import OTHER, TALK, row


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "sessions.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    """With the conversations TALK and OTHER in it."""
    async with open_sqlite(path) as store:
        await store.conversations.create(row(TALK))
        await store.conversations.create(row(OTHER))
        yield store
