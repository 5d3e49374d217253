"""A local sandbox, which is discarded afterwards with all that a test left running in it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from openhands_sessions.adapters.runtimes.local.runtimes import LocalLimits, LocalRuntimes
from openhands_sessions.ports.runtime import Runtime
from tests.support.sandboxes import SID, opened


@pytest.fixture
async def runtimes(tmp_path: Path) -> AsyncIterator[LocalRuntimes]:
    runtimes = LocalRuntimes(tmp_path / "sandboxes", limits=LocalLimits(idle_timeout=60))
    try:
        async with asyncio.timeout(60):
            yield runtimes
    finally:
        await runtimes.discard(SID)


@pytest.fixture
async def runtime(runtimes: LocalRuntimes) -> AsyncIterator[Runtime]:
    async with opened(runtimes) as runtime:
        yield runtime
