"""A runtime tells a workspace that was kept from one that took the place of another."""

import asyncio
import contextlib
import shutil
from dataclasses import replace
from pathlib import Path

from openhands_sessions.adapters.runtimes.local.runtimes import LocalRuntimes
from openhands_sessions.core.ids import folder_name
from openhands_sessions.ports.runtime import CommandDone, Runtimes
from tests.support.docker_engine import Engine
from tests.support.docker_sandboxes import PLAIN, comes_to, containers, docker_runtimes
from tests.support.sandboxes import SID, key, opened, run


async def test_a_workspace_that_is_kept_is_the_one_in_which_its_actions_ran(runtimes: Runtimes) -> None:
    async with opened(runtimes) as runtime:
        await run(runtime, 0, "true")
        assert not await runtime.replaced(key(0))
    async with opened(runtimes, term=2) as runtime:
        assert not await runtime.replaced(key(0))


async def test_a_workspace_in_the_place_of_a_deleted_one_is_another_one(runtimes: Runtimes) -> None:
    async with opened(runtimes) as runtime:
        await run(runtime, 0, "true")
    await runtimes.discard(SID)
    for term in (2, 3):
        async with opened(runtimes, term=term) as runtime:
            assert await runtime.replaced(key(0)), "also where it was opened before"
            await runtime.files.write("file", b"nothing has run here")
    async with opened(runtimes, term=4) as runtime:
        await run(runtime, 1, "true")
        assert not await runtime.replaced(key(1))


async def test_of_a_deleted_workspace_the_record_of_actions_may_stay(tmp_path: Path) -> None:
    runtimes = LocalRuntimes(tmp_path)
    async with opened(runtimes) as runtime:
        await run(runtime, 0, "echo said")
    shutil.rmtree(tmp_path / folder_name(SID) / "workspace")
    async with opened(runtimes, term=2) as runtime:
        assert isinstance(await runtime.inquire(key(0)), CommandDone)
        assert await runtime.replaced(key(0))
        await run(runtime, 1, "true")
    async with opened(runtimes, term=3) as runtime:
        assert not await runtime.replaced(key(1))
    await runtimes.discard(SID)


async def test_a_command_that_deletes_the_record_of_actions_makes_no_workspace_new(tmp_path: Path) -> None:
    runtimes = LocalRuntimes(tmp_path)
    async with opened(runtimes) as runtime:
        await run(runtime, 0, f"rm {tmp_path / folder_name(SID) / 'state' / 'journal'}")
    async with opened(runtimes, term=2) as runtime:
        assert not await runtime.replaced(key(0))
    await runtimes.discard(SID)


async def test_a_workspace_that_goes_with_its_container_is_replaced(docker_engine: Engine, tmp_path: Path) -> None:
    settings = replace(PLAIN, pause_after=0.2, remove_after=0.2)
    async with asyncio.timeout(40):
        for keep in (True, False):
            chosen = replace(settings, keep_workspace=keep)
            async with docker_runtimes(docker_engine, tmp_path / str(keep), chosen) as runtimes:
                async with opened(runtimes) as runtime:
                    await run(runtime, 0, "true")
                await comes_to(docker_engine, runtimes)
                async with opened(runtimes, term=2) as runtime:
                    assert await runtime.replaced(key(0)) != keep
                    await run(runtime, 1, "true")
                    assert not await runtime.replaced(key(1))
                await runtimes.discard(SID)


async def test_of_an_engine_far_away_the_volume_may_be_pruned(far_engine: Engine, tmp_path: Path) -> None:
    async with asyncio.timeout(40), docker_runtimes(far_engine, tmp_path / "sandboxes") as runtimes:
        async with opened(runtimes) as runtime:
            await run(runtime, 0, "true")
        with contextlib.closing(far_engine.client()) as client:
            [(found, _)] = containers(far_engine, runtimes)
            container = client.containers.get(found)
            name = container.name
            container.remove(force=True)
        async with opened(runtimes, term=2) as runtime:
            assert not await runtime.replaced(key(0))
        with contextlib.closing(far_engine.client()) as client:
            client.volumes.get(f"{name}-workspace").remove()
        async with opened(runtimes, term=3) as runtime:
            assert await runtime.replaced(key(0))
            await run(runtime, 1, "true")
            assert not await runtime.replaced(key(1))
        await runtimes.discard(SID)
