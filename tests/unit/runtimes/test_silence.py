"""Executors of this machine that are stopped: they listen, and do not answer."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from openhands_sessions.adapters.runtimes.local.runtimes import LocalLimits, LocalRuntimes
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.ports.runtime import CommandDone, Lost, Runtime, UnknownAction
from tests.support.processes import alive
from tests.support.sandboxes import SID, Hearing, key, opened, run

pytestmark = pytest.mark.slow


@pytest.fixture
async def runtimes(tmp_path: Path) -> AsyncIterator[LocalRuntimes]:
    runtimes = LocalRuntimes(tmp_path / "sandboxes", limits=LocalLimits(answer_within=0.5))
    try:
        async with asyncio.timeout(60):
            yield runtimes
    finally:
        await runtimes.discard(SID)


@pytest.fixture
async def runtime(runtimes: LocalRuntimes) -> AsyncIterator[Runtime]:
    async with opened(runtimes) as runtime:
        yield runtime


async def stopped(runtime: Runtime) -> tuple["asyncio.Task[CommandDone]", list[int]]:
    """A command whose executor is stopped under it; and their processes."""
    hearing = Hearing()
    running = asyncio.create_task(run(runtime, 0, "echo x >> runs; echo $PPID $BASHPID; sleep 600", hearing))
    await hearing.hears("\n")
    pids = [int(pid) for pid in hearing.text.split()]
    os.kill(pids[0], signal.SIGSTOP)
    return running, pids


async def left(running: "asyncio.Task[CommandDone]") -> None:
    running.cancel()
    await asyncio.wait([running])


async def test_one_that_is_stopped_at_work_is_ended_and_replaced(runtime: Runtime) -> None:
    running, pids = await stopped(runtime)
    with pytest.raises(RuntimeUnavailable, match="ended"):
        await running
    assert not any(alive(pid) for pid in pids)
    assert await runtime.inquire(key(0)) == Lost()
    assert (await run(runtime, 1, "cat runs; echo on")).output == "x\non\n"


async def test_what_became_of_its_actions_is_told_without_it(runtime: Runtime) -> None:
    assert (await run(runtime, 7, "true")).ended == "exit"
    running, pids = await stopped(runtime)
    await left(running)
    assert await runtime.inquire(key(0)) == Lost()
    assert not any(alive(pid) for pid in pids)
    assert isinstance(await runtime.inquire(key(7)), CommandDone)
    assert await runtime.inquire(key(8)) == UnknownAction()


async def test_the_next_server_replaces_it(runtimes: LocalRuntimes) -> None:
    async with opened(runtimes) as runtime:
        running, pids = await stopped(runtime)
        await left(running)
    async with opened(runtimes, term=2) as runtime:
        assert (await run(runtime, 1, "cat runs; echo on")).output == "x\non\n"
    assert not any(alive(pid) for pid in pids)


async def test_an_interrupt_that_it_does_not_hear_is_kept_for_the_next_one(runtime: Runtime) -> None:
    running, _ = await stopped(runtime)
    await left(running)
    await runtime.interrupt(key(1))
    assert (await run(runtime, 1, "echo never")).ended == "interrupted"
