"""The real server as a process, and whoever visits it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.guests import Guests
from tests.support.running import Server, running


@pytest.fixture
async def server(data_dir: Path) -> AsyncIterator[Server]:
    """A server with embedded defaults, ready. Nothing is left of it."""
    async with running(data_dir) as ready:
        yield ready


@pytest.fixture
async def guests(server: Server) -> AsyncIterator[Guests]:
    async with Guests(server.url) as visiting:
        yield visiting
