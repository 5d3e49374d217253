"""What becomes of an action whose record is gone: it is never run a second time, and what comes after it runs."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from openhands_sessions.adapters.runtimes.local.runtimes import LocalRuntimes
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.core.ids import folder_name
from openhands_sessions.ports.runtime import CommandDone, Lost, Runtimes, UnknownAction
from tests.support.docker_engine import Engine
from tests.support.docker_sandboxes import containers, docker_runtimes
from tests.support.sandboxes import SID, Hearing, key, opened, run


@dataclass(frozen=True)
class Kind:
    """A family of sandboxes, where each has its state as a command sees it, and where they lie."""

    runtimes: Runtimes
    state: str
    place: Path


@pytest.fixture(params=["local", "docker"])
async def kind(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kind]:
    folder = tmp_path / "sandboxes"
    place = folder / folder_name(SID)
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "docker":
            engine = request.getfixturevalue("docker_engine")
            kind = Kind(await stack.enter_async_context(docker_runtimes(engine, folder)), "/run/executor", place)
        else:
            kind = Kind(LocalRuntimes(folder), str(place / "state"), place)
        stack.push_async_callback(kind.runtimes.discard, SID)
        await stack.enter_async_context(asyncio.timeout(30))
        yield kind


@pytest.fixture
async def left(kind: Kind) -> AsyncIterator[None]:
    """A server is gone while a command runs that has deleted its record, with the way to its executor."""
    command = f"rm -rf {kind.state}/*; echo $OHS_ACTION_ID >> ran; echo $PPID begun; sleep 60"
    executor = await abandoned(kind, f"echo before; {command}")
    yield
    if isinstance(kind.runtimes, LocalRuntimes):  # it cannot be found any more
        await kind.runtimes.discard(SID)
        os.kill(executor, signal.SIGTERM)


async def abandoned(kind: Kind, command: str) -> int:
    """Run it until it prints `begun`, cancel the call, and return the number before that."""
    hearing = Hearing()
    async with opened(kind.runtimes) as runtime:
        running = asyncio.create_task(run(runtime, 0, command, hearing))
        await hearing.hears(" begun\n")
        running.cancel()
        await asyncio.wait([running])
    return int(hearing.text.split()[-2])


@pytest.mark.usefixtures("left")
async def test_an_action_that_deleted_its_record_is_not_run_again(kind: Kind) -> None:
    async with opened(kind.runtimes, term=2) as runtime:
        assert await runtime.inquire(key(0)) == Lost()
        assert (await run(runtime, 1, "echo $OHS_ACTION_ID >> ran; echo on")).output == "on\n"
        assert await runtime.inquire(key(0)) == Lost()
        assert await runtime.files.read("ran") == f"{key(0)}\n{key(1)}\n".encode()
    async with opened(kind.runtimes, term=3) as runtime:
        assert isinstance(await runtime.inquire(key(1)), CommandDone)
        assert await runtime.inquire(key(2)) == UnknownAction()
        await run(runtime, 2, "echo $OHS_ACTION_ID >> ran")
        assert await runtime.files.read("ran") == "".join(f"{key(number)}\n" for number in range(3)).encode()


@pytest.mark.usefixtures("left")
async def test_to_stop_an_action_whose_record_is_gone_does_not_make_it_one_that_never_ran(kind: Kind) -> None:
    async with opened(kind.runtimes, term=2) as runtime:
        await run(runtime, 1, "true")
        await runtime.interrupt(key(0))
        assert await runtime.inquire(key(0)) == Lost()


async def test_a_record_that_was_emptied_does_not_say_that_nothing_ran(kind: Kind) -> None:
    async with opened(kind.runtimes) as runtime:
        await run(runtime, 7, "true")
        with pytest.raises(RuntimeUnavailable):
            await run(runtime, 0, f"echo $OHS_ACTION_ID >> ran; : > {kind.state}/journal; kill -9 $PPID")
    async with opened(kind.runtimes, term=2) as runtime:
        assert await runtime.inquire(key(0)) == Lost()


async def test_a_sandbox_of_a_version_that_noted_no_journal_goes_on(kind: Kind) -> None:
    async with opened(kind.runtimes) as runtime:
        await run(runtime, 0, "true")
    (kind.place / "journal").unlink()
    async with opened(kind.runtimes, term=2) as runtime:
        assert isinstance(await runtime.inquire(key(0)), CommandDone)
        assert await runtime.inquire(key(1)) == UnknownAction()
        await run(runtime, 1, "true")
        assert await runtime.inquire(key(2)) == UnknownAction()


async def test_what_an_engine_far_away_has_pruned_is_not_run_again(far_engine: Engine, tmp_path: Path) -> None:
    async with asyncio.timeout(40), docker_runtimes(far_engine, tmp_path / "sandboxes") as runtimes:
        kind = Kind(runtimes, "/run/executor", tmp_path)
        await abandoned(kind, "echo $OHS_ACTION_ID >> ran; echo 0 begun; sleep 60")
        with contextlib.closing(far_engine.client()) as client:
            [(found, _)] = containers(far_engine, runtimes)
            container = client.containers.get(found)
            container.remove(force=True)
            client.volumes.get(f"{container.name}-state").remove()
        async with opened(runtimes, term=2) as runtime:
            assert await runtime.inquire(key(0)) == Lost()
            await run(runtime, 1, "echo $OHS_ACTION_ID >> ran")
            assert await runtime.inquire(key(0)) == Lost()
            assert await runtime.files.read("ran") == f"{key(0)}\n{key(1)}\n".encode()
        await runtimes.discard(SID)
