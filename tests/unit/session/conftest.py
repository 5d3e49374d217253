"""A store with one conversation in it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from openhands_sessions.ports.store import EventLog
from tests.fakes.memory_store import MemoryStore, open_memory
from tests.support.store_entries import TALK, row


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    async with open_memory() as opened:
        await opened.conversations.create(row(TALK))
        yield opened


@pytest.fixture
def log(store: MemoryStore) -> EventLog:
    return store.log(TALK)


@pytest.fixture
async def gate() -> AsyncIterator[asyncio.Event]:
    """Holds a model or a command until it is set, and lets go of it at the end."""
    held = asyncio.Event()
    yield held
    held.set()
