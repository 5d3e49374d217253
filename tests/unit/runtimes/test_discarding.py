"""Discarding a sandbox whose executor is just being started."""

import asyncio
from pathlib import Path

import pytest

from openhands_sessions.adapters.runtimes.local.runtimes import LocalRuntimes
from openhands_sessions.ports.runtime import RunCommand
from tests.support.running_server import processes_of, still_running
from tests.support.sandboxes import SID, Hearing, key, opened


@pytest.mark.parametrize("milliseconds", [0, 5, 20, 40, 60, 80, 120])
async def test_an_executor_that_is_being_started_does_not_outlive_its_sandbox(
    tmp_path: Path, milliseconds: int
) -> None:
    runtimes = LocalRuntimes(tmp_path / "sandboxes")
    async with opened(runtimes) as runtime:
        performing = asyncio.create_task(runtime.perform(key(1), RunCommand(command="sleep 60"), Hearing()))
        await asyncio.wait([performing], timeout=milliseconds / 1000)
        performing.cancel()
        await asyncio.wait([performing])
    await runtimes.discard(SID)
    assert await still_running(processes_of(tmp_path)) == []
    assert list((tmp_path / "sandboxes").iterdir()) == []
