"""An image on its way: told to all who wait for it, and ended when it must be."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import docker
import pytest

from openhands_sessions.adapters.runtimes.docker.engine import DockerEngine
from openhands_sessions.adapters.runtimes.docker.factory import pull_image
from openhands_sessions.adapters.runtimes.docker.image_pulls import ImagePulls
from openhands_sessions.core.errors import RuntimeUnavailable
from tests.support.fake_pull_engine import BEGUN, END, Pull, fake_pull_engine, piece

MANY = 20
"""More than the engine's other calls have threads."""


@asynccontextmanager
async def engine_that(folder: Path, pull: Pull) -> AsyncIterator[DockerEngine]:
    async with asyncio.timeout(20), fake_pull_engine(folder, pull) as address:
        engine = DockerEngine(address)
        try:
            yield engine
        finally:
            await engine.close()
    await no_pull_left()


async def no_pull_left() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("docker pull"):
            await asyncio.to_thread(thread.join, 5)
            assert not thread.is_alive()


async def test_a_layer_that_has_not_begun_counts_as_nothing(tmp_path: Path) -> None:
    async def pull(writer: asyncio.StreamWriter) -> None:
        writer.write(BEGUN + piece(status="Pulling from small", id="1"))
        writer.write(piece(id="a", progressDetail={"total": 100}) + piece(id="a", progressDetail={}))
        writer.write(piece(id="a", progressDetail={"current": 50, "total": 100}) + END)

    told: list[int] = []
    async with engine_that(tmp_path, pull) as engine:
        await engine.pull("small:1", told.append)
    assert told == [0, 50]


@pytest.mark.parametrize("said", [b"", BEGUN, BEGUN + piece(id="a"), BEGUN + b"20\r\n{"])
async def test_an_engine_that_dies_while_it_fetches_is_told(tmp_path: Path, said: bytes) -> None:
    async def pull(writer: asyncio.StreamWriter) -> None:
        writer.write(said)

    async with engine_that(tmp_path, pull) as engine:
        with pytest.raises(RuntimeUnavailable, match="start it"):
            await engine.pull("small:1", print)


async def test_many_who_need_an_image_share_one_pull_and_keep_no_other_call_waiting(tmp_path: Path) -> None:
    pulls, half, go_on = [], asyncio.Event(), asyncio.Event()
    told: list[list[str]] = [[] for _ in range(MANY)]

    async def pull(writer: asyncio.StreamWriter) -> None:
        pulls.append(writer)
        writer.write(BEGUN + piece(id="a", progressDetail={"current": 50, "total": 100}))
        await go_on.wait()
        writer.write(piece(id="a", progressDetail={"current": 100, "total": 100}) + END)

    async def needs(engine: DockerEngine, number: int) -> None:
        def tell(words: str) -> None:
            told[number].append(words)
            if all(any("50 %" in each for each in heard) for heard in told):
                half.set()

        await pull_image(engine, "small:1", tell)

    async with engine_that(tmp_path, pull) as engine:
        waiting = [asyncio.create_task(needs(engine, number)) for number in range(MANY)]
        await half.wait()
        assert await engine.version() == "24"
        go_on.set()
        await asyncio.gather(*waiting)
    assert len(pulls) == 1
    assert all("100 %" in heard[-2] and "is fetched" in heard[-1] for heard in told)


async def test_an_image_that_cannot_be_had_is_told_to_all_and_tried_again_later(tmp_path: Path) -> None:
    refusals = iter(["no such manifest", "registry on fire"])

    async def pull(writer: asyncio.StreamWriter) -> None:
        writer.write(BEGUN + piece(error=next(refusals)) + END)

    async with engine_that(tmp_path, pull) as engine:
        both = await asyncio.gather(*(engine.pull("small:1", print) for _ in range(2)), return_exceptions=True)
        assert ["manifest" in str(each) for each in both] == [True, True]
        with pytest.raises(RuntimeUnavailable, match="fire"):
            await engine.pull("small:1", print)


async def test_who_no_longer_waits_hears_no_more_and_leaves_the_pull_to_the_others(tmp_path: Path) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    first: list[int] = []
    second: list[int] = []

    async def pull(writer: asyncio.StreamWriter) -> None:
        writer.write(BEGUN)
        begun.set()
        await go_on.wait()
        writer.write(piece(id="a", progressDetail={"current": 7, "total": 100}) + END)

    async with engine_that(tmp_path, pull) as engine:
        leaves = asyncio.create_task(engine.pull("small:1", first.append))
        stays = asyncio.create_task(engine.pull("small:1", second.append))
        await begun.wait()
        leaves.cancel()
        await asyncio.wait([leaves])
        go_on.set()
        await stays
    assert (first, second) == ([], [7])


@pytest.mark.parametrize("said", [b"", BEGUN + piece(id="a", progressDetail={"current": 1, "total": 100})])
async def test_a_pull_of_which_nothing_is_heard_keeps_no_server_from_ending(tmp_path: Path, said: bytes) -> None:
    begun = asyncio.Event()

    async def pull(writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        begun.set()
        await asyncio.Event().wait()

    async with engine_that(tmp_path, pull) as engine:
        waiting = asyncio.create_task(engine.pull("small:1", print))
        await begun.wait()
        async with asyncio.timeout(20):
            engine.stop_pulling()
            with pytest.raises(RuntimeUnavailable, match="server ends"):
                await waiting
            await engine.close()
        with pytest.raises(RuntimeUnavailable, match="server ends"):
            await engine.pull("small:1", print)


@pytest.mark.parametrize("said", [b"", BEGUN + piece(status="Pulling from small", id="1")])
async def test_a_registry_that_falls_silent_is_told(tmp_path: Path, said: bytes) -> None:
    async def pull(writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await asyncio.Event().wait()

    async with asyncio.timeout(20), fake_pull_engine(tmp_path, pull) as address:
        pulls = ImagePulls(lambda: docker.APIClient(base_url=address), patience=0.2)
        with pytest.raises(RuntimeUnavailable, match="docker pull"):
            await pulls.fetch("small:1", print)
    await no_pull_left()


async def test_a_pull_that_is_slow_but_goes_on_is_not_given_up(tmp_path: Path) -> None:
    async def pull(writer: asyncio.StreamWriter) -> None:
        writer.write(BEGUN)
        for done in range(8):
            writer.write(piece(id="a", progressDetail={"current": done, "total": 8}))
            await asyncio.sleep(0.2)  # slower than the patience, all in all
        writer.write(END)

    async with asyncio.timeout(20), fake_pull_engine(tmp_path, pull) as address:
        await ImagePulls(lambda: docker.APIClient(base_url=address), patience=1.0).fetch("small:1", print)
    await no_pull_left()
