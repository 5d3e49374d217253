"""When a workspace has grown too large."""

import asyncio
from functools import partial
from pathlib import Path

from openhands_sessions.adapters.runtimes.docker.size_guard import SizeGuard, folder_size
from openhands_sessions.core.errors import RuntimeUnavailable

LIMIT = 1 << 20


async def test_growing_beyond_the_limit_is_noticed(tmp_path: Path) -> None:
    guard = SizeGuard(folder_size(tmp_path), LIMIT, asyncio.Semaphore(1), every=0.01)
    noticing = asyncio.create_task(guard.wait_until_full())
    (tmp_path / "small").write_bytes(b"x" * 1000)
    await asyncio.wait([noticing], timeout=0.2)
    assert not noticing.done()
    (tmp_path / "large").write_bytes(b"x" * 2 * LIMIT)
    async with asyncio.timeout(10):
        await noticing


async def test_one_that_is_too_large_may_become_smaller_but_not_larger(tmp_path: Path) -> None:
    guard = SizeGuard(folder_size(tmp_path), LIMIT, asyncio.Semaphore(1), every=0.01)
    full = asyncio.Queue[None](1)
    for number in range(3):
        (tmp_path / str(number)).write_bytes(b"x" * LIMIT)
    guard.start(partial(full.put, None))
    async with asyncio.timeout(10):
        await full.get()
        (tmp_path / "0").unlink()
        await asyncio.sleep(0.2)  # for some looks
        assert (guard.times_full, full.empty()) == (1, True)
        (tmp_path / "3").write_bytes(b"x" * 4 * LIMIT)
        await full.get()
    await guard.stop()


async def test_what_was_written_until_the_end_may_stay(tmp_path: Path) -> None:
    guard = SizeGuard(folder_size(tmp_path), LIMIT, asyncio.Semaphore(1), every=0.01)
    ended = asyncio.Queue[None](1)

    async def end() -> None:
        (tmp_path / "written until the end").write_bytes(b"x" * 4 * LIMIT)
        await guard.accept_size()
        await ended.put(None)

    (tmp_path / "large").write_bytes(b"x" * 2 * LIMIT)
    guard.start(end)
    async with asyncio.timeout(10):
        await ended.get()
    await asyncio.sleep(0.2)  # for some looks
    assert guard.times_full == 1
    await guard.stop()


async def test_one_that_could_not_be_ended_is_to_be_ended_again(tmp_path: Path) -> None:
    guard = SizeGuard(folder_size(tmp_path), LIMIT, asyncio.Semaphore(1), every=0.01)
    tries = asyncio.Queue[None](2)

    async def fail() -> None:
        await tries.put(None)
        raise RuntimeUnavailable("the engine is gone")

    (tmp_path / "large").write_bytes(b"x" * 2 * LIMIT)
    guard.start(fail)
    async with asyncio.timeout(10):
        await tries.get()
        await tries.get()
    await guard.stop()


async def test_what_cannot_be_measured_is_not_too_large(tmp_path: Path) -> None:
    guard = SizeGuard(folder_size(tmp_path / "nothing"), LIMIT, asyncio.Semaphore(1), every=0.01)
    noticing = asyncio.create_task(guard.wait_until_full())
    await asyncio.wait([noticing], timeout=0.1)
    assert not noticing.done()
    noticing.cancel()
    await asyncio.wait([noticing])
