"""The service layer over a store in memory, and sessions whose agents are scripted."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.fakes.memory_store import MemoryStore, open_memory


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    async with open_memory() as opened:
        yield opened


@pytest.fixture
async def gate() -> AsyncIterator[asyncio.Event]:
    """Holds a model until it is set, and lets go of it at the end."""
    held = asyncio.Event()
    yield held
    held.set()
