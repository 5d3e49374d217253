"""The real server as a process, and whoever visits it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """As `server`, one for all tests of a module: for those that leave it as it was."""
    async with running_server(tmp_path_factory.mktemp("shared") / "data") as ready:
        yield ready
