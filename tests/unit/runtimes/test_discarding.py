"""Discarding a sandbox whose executor is just being started."""

import asyncio
import sys
from pathlib import Path

import pytest

from openhands_sessions.adapters.runtimes.local.paths import DELETED
from openhands_sessions.adapters.runtimes.local.runtimes import EXECUTOR, LocalRuntimes
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


async def test_executors_that_start_while_the_folder_is_emptied_end(tmp_path: Path) -> None:
    runtimes = LocalRuntimes(tmp_path / "sandboxes")
    async with opened(runtimes) as runtime:
        await runtime.perform(key(1), RunCommand(command="true"), Hearing())
    [folder] = (tmp_path / "sandboxes").iterdir()
    for number in range(20_000):
        (folder / "state" / f"file-{number}").touch()
    discarding = asyncio.create_task(runtimes.discard(SID))
    starts = []
    while not discarding.done():
        paths = {"--socket": "state/executor.sock", "--workspace": "workspace", "--state": "state"}
        words = [word for option, path in paths.items() for word in (option, str(folder / path))]
        starts.append(await asyncio.create_subprocess_exec(sys.executable, "-I", "-S", EXECUTOR, *words, "--detach"))
        await asyncio.sleep(0.02)
    await discarding
    assert [await start.wait() for start in starts].count(0) == 0
    assert await still_running(processes_of(tmp_path)) == []
    assert list((tmp_path / "sandboxes").iterdir()) == []


async def test_a_deletion_that_was_cut_off_is_finished_by_the_next(tmp_path: Path) -> None:
    runtimes = LocalRuntimes(tmp_path / "sandboxes")
    async with opened(runtimes) as runtime:
        await runtime.perform(key(1), RunCommand(command="echo > file"), Hearing())
    await runtimes.discard(SID)
    async with opened(runtimes) as runtime:
        await runtime.perform(key(1), RunCommand(command="echo > file"), Hearing())
    [folder] = (tmp_path / "sandboxes").iterdir()
    (folder.with_name(f"{folder.name}{DELETED}") / "workspace").mkdir(parents=True)
    await runtimes.discard(SID)
    assert list((tmp_path / "sandboxes").iterdir()) == []
