"""A local sandbox for servers that are programs."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from openhands_sessions.adapters.runtimes.local.runtimes import LocalRuntimes
from openhands_sessions.ports.runtime import Runtime
from tests.support.sandboxes import SID, opened


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    runtimes = LocalRuntimes(tmp_path / "sandboxes")
    async with opened(runtimes) as runtime:
        yield runtime
    await runtimes.discard(SID)
