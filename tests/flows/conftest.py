"""The real server as a process, and whoever visits it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients


@pytest.fixture
async def server(data_dir: Path) -> AsyncIterator[Server]:
    """A server with embedded defaults, ready. Nothing is left of it."""
    async with running_server(data_dir) as ready:
        yield ready


@pytest.fixture
async def clients(server: Server) -> AsyncIterator[Clients]:
    async with Clients(server.url) as visiting:
        yield visiting
