"""The life of a container: created when it is needed, paused, found again, and removed when it is not needed."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, closing
from dataclasses import replace
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from openhands_sessions.adapters.runtimes.docker.container_spec import INSTANCE
from openhands_sessions.adapters.runtimes.docker.runtimes import DockerRuntimes, open_docker
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.runtime import CommandDone, Lost, Running, RuntimeSpec, UnknownAction
from tests.support.docker_engine import Engine
from tests.support.docker_sandboxes import LOOK_AGAIN, PLAIN, comes_to, containers, docker_runtimes
from tests.support.sandboxes import SID, Hearing, key, opened, run

RESTS = "rests, and is removed when it has rested long enough"
RESTLESS = replace(PLAIN, pause_after=0.2)
SHORT_LIVED = replace(PLAIN, pause_after=0.1, remove_after=0.1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sandboxes"


@pytest.fixture
async def runtimes(docker_engine: Engine, folder: Path) -> AsyncIterator[DockerRuntimes]:
    async with docker_runtimes(docker_engine, folder) as runtimes, asyncio.timeout(60):
        yield runtimes


@pytest.fixture
def stranger(docker_engine: Engine) -> Iterator[str]:
    """Somebody else's container, and one of an older instance of ours: both run until the test's end."""
    with closing(docker_engine.client()) as client:
        made = [
            client.containers.run(docker_engine.base, ["sleep", "600"], detach=True, init=True, labels=labels)
            for labels in ({}, {INSTANCE: "0123456789abcdef"})
        ]
        try:
            yield " ".join(each.id for each in made)
        finally:
            for each in made:
                each.remove(force=True)


async def test_a_conversation_that_only_talks_starts_no_container(
    docker_engine: Engine, runtimes: DockerRuntimes
) -> None:
    async with opened(runtimes) as runtime:
        await runtime.files.write("a", b"1")
        assert await runtime.inquire(key(0)) == UnknownAction()
        await runtime.interrupt(key(1))
    assert containers(docker_engine, runtimes) == []


async def test_an_idle_sandbox_is_paused_and_woken_with_all_that_was_in_it(docker_engine: Engine, folder: Path) -> None:
    async with docker_runtimes(docker_engine, folder, RESTLESS) as runtimes, opened(runtimes) as runtime:
        await run(runtime, 0, "colour=blue; sleep 600 & echo $! > sleeper")
        await comes_to(docker_engine, runtimes, "paused")
        assert (await run(runtime, 1, "echo $colour; kill -0 $(cat sleeper) && echo alive")).output == "blue\nalive\n"
        await comes_to(docker_engine, runtimes, "paused")
        assert isinstance(await runtime.inquire(key(0)), CommandDone)


async def test_a_sandbox_at_work_is_not_paused(docker_engine: Engine, folder: Path) -> None:
    async with docker_runtimes(docker_engine, folder, RESTLESS) as runtimes, opened(runtimes) as runtime:
        hearing = Hearing()
        running = asyncio.create_task(run(runtime, 0, "echo begun; sleep 1; echo done > done", hearing))
        await hearing.hears("begun\n")
        running.cancel()
        await asyncio.wait([running])
        await comes_to(docker_engine, runtimes, "paused")
        assert await runtime.files.read("done") == b"done\n"


async def test_a_sandbox_that_has_rested_is_removed_and_created_again_with_its_workspace(
    docker_engine: Engine, folder: Path
) -> None:
    async with docker_runtimes(docker_engine, folder, SHORT_LIVED) as runtimes, opened(runtimes) as runtime:
        await run(runtime, 0, "colour=blue; echo kept > file; echo kept > ~/file")
        await comes_to(docker_engine, runtimes)
        assert isinstance(await runtime.inquire(key(0)), CommandDone)
        assert containers(docker_engine, runtimes) == []
        assert (await run(runtime, 1, "cat file ~/file; echo ${colour}new")).output == "kept\nkept\nnew\n"


async def test_a_workspace_goes_with_its_container_where_that_is_the_policy(
    docker_engine: Engine, folder: Path
) -> None:
    settings = replace(SHORT_LIVED, keep_workspace=False)
    async with docker_runtimes(docker_engine, folder, settings) as runtimes:
        async with opened(runtimes) as runtime:
            await run(runtime, 0, "echo x > file; echo x > ~/file; echo said")
        await comes_to(docker_engine, runtimes)
        async with opened(runtimes) as runtime:
            assert await runtime.files.list() == []
            assert (await run(runtime, 0, "echo twice")).output == "said\n"
            assert (await run(runtime, 1, "ls; ls ~; echo nothing")).output == "nothing\n"


@pytest.mark.parametrize("way", ["kill", "remove"])
async def test_a_container_that_dies_at_work_is_told_at_once_and_the_next_command_runs(
    docker_engine: Engine, runtimes: DockerRuntimes, way: str
) -> None:
    async with opened(runtimes) as runtime:
        hearing = Hearing()
        running = asyncio.create_task(run(runtime, 0, "echo x >> runs; echo begun; sleep 600", hearing))
        await hearing.hears("begun\n")
        [(container, _)] = containers(docker_engine, runtimes)
        with closing(docker_engine.client()) as client:
            found = client.containers.get(container)
            await asyncio.to_thread(found.kill if way == "kill" else lambda: found.remove(force=True))
        async with asyncio.timeout(5):
            with pytest.raises(RuntimeUnavailable, match="from outside"):
                await running
        assert await runtime.inquire(key(0)) == Lost()
        assert (await run(runtime, 1, "cat runs")).output == "x\n"
        again = [each for each, _ in containers(docker_engine, runtimes)]
        assert (again == [container]) == (way == "kill")


async def test_a_container_of_other_settings_is_created_again(docker_engine: Engine, folder: Path) -> None:
    async with docker_runtimes(docker_engine, folder) as runtimes, opened(runtimes) as runtime:
        await run(runtime, 0, "echo kept > file")
        [(container, _)] = containers(docker_engine, runtimes)
        with closing(docker_engine.client()) as client:
            await asyncio.to_thread(client.containers.get(container).kill)
        async with docker_runtimes(docker_engine, folder, replace(PLAIN, processes=100)) as later:
            async with opened(later, term=2) as again:
                assert (await run(again, 1, "cat file")).output == "kept\n"
            assert containers(docker_engine, later)[0][0] != container


async def test_the_next_server_finds_the_sandbox_paused_and_goes_on_with_it(
    docker_engine: Engine, folder: Path
) -> None:
    async with docker_runtimes(docker_engine, folder) as keeper:  # which clears up in the end
        async with _server(docker_engine, folder) as runtimes, opened(runtimes) as runtime:
            await run(runtime, 0, "colour=blue")
        assert [status for _, status in containers(docker_engine, keeper)] == ["paused"]
        async with _server(docker_engine, folder) as runtimes, opened(runtimes, term=2) as runtime:
            assert (await run(runtime, 1, "echo $colour")).output == "blue\n"


async def test_the_next_server_pauses_what_no_conversation_uses(docker_engine: Engine, folder: Path) -> None:
    async with docker_runtimes(docker_engine, folder) as keeper:
        async with _server(docker_engine, folder) as runtimes, opened(runtimes) as runtime:
            await run(runtime, 0, "echo kept > file")
        async with docker_runtimes(docker_engine, folder, SHORT_LIVED):
            await comes_to(docker_engine, keeper)
        async with opened(keeper, term=2) as runtime:
            assert await runtime.files.read("file") == b"kept\n"


async def test_a_container_whose_conversation_is_gone_is_reaped(docker_engine: Engine, folder: Path) -> None:
    async def knows(sid: ConversationId) -> bool:
        return sid != SID

    async with docker_runtimes(docker_engine, folder) as runtimes:
        for sid in (SID, ConversationId("other")):
            async with runtimes.open(RuntimeSpec(sid=sid, term=1)) as runtime:
                await run(runtime, 0, "true")
        settings = replace(PLAIN, image=docker_engine.base)
        async with open_docker(folder, settings, address=docker_engine.address, exists=knows) as later:
            await comes_to(docker_engine, runtimes, "running")
            [kept] = await later.survey()
            assert (kept.conversation, kept.keep, kept.why) == ("other", True, RESTS)


async def test_a_sandbox_that_another_server_has_open_is_left_alone(
    docker_engine: Engine, runtimes: DockerRuntimes, folder: Path
) -> None:
    async with opened(runtimes) as runtime:
        await run(runtime, 0, "colour=blue")
        async with _server(docker_engine, folder) as other:
            [standing] = await other.survey()
            assert standing.why == "its conversation is open"
            assert await other.reap() == []
        assert [status for _, status in containers(docker_engine, runtimes)] == ["running"]
        assert (await run(runtime, 1, "echo $colour")).output == "blue\n"


@pytest.mark.parametrize("then", ["goes on", "is discarded"])
async def test_an_executor_that_the_engine_has_lost_track_of_is_ended(
    docker_engine: Engine, runtimes: DockerRuntimes, folder: Path, then: str
) -> None:
    async with opened(runtimes) as runtime:
        await run(runtime, 0, "true")
        [(container, _)] = containers(docker_engine, runtimes)
        with closing(docker_engine.client()) as client:
            lost = await asyncio.to_thread(_under_no_name, client, container)
            try:
                if then == "goes on":
                    assert (await run(runtime, 1, "echo on")).output == "on\n"
                    assert [status for _, status in containers(docker_engine, runtimes)] == ["running"]
                else:
                    await runtimes.discard(SID)
                    assert [path.name for path in folder.iterdir() if path.is_dir()] == []
                assert (await asyncio.to_thread(lost.wait, timeout=5))["StatusCode"] == 0
            finally:
                lost.remove(force=True)


async def test_what_is_not_ours_is_never_touched(docker_engine: Engine, folder: Path, stranger: str) -> None:
    async with docker_runtimes(docker_engine, folder, SHORT_LIVED) as runtimes:
        async with opened(runtimes) as runtime:
            await run(runtime, 0, "true")
        await runtimes.reap()
        await comes_to(docker_engine, runtimes)
        await runtimes.discard(SID)
    with closing(docker_engine.client()) as client:
        assert [client.containers.get(each).status for each in stranger.split()] == ["running", "running"]


async def test_without_an_engine_it_says_what_to_do_and_a_later_try_works(
    docker_engine: Engine, folder: Path, tmp_path: Path
) -> None:
    address = tmp_path / "docker.sock"
    settings = replace(PLAIN, image=docker_engine.base)
    async with open_docker(folder, settings, address=f"unix://{address}") as runtimes:
        with pytest.raises(RuntimeUnavailable, match="start it"):
            async with opened(runtimes):
                pass
        address.symlink_to(docker_engine.address.removeprefix("unix://"))
        async with opened(runtimes) as runtime:
            assert (await run(runtime, 0, "echo on")).output == "on\n"
        await runtimes.clear()


async def test_a_sandbox_is_reached_while_the_engine_is_gone(
    docker_engine: Engine, folder: Path, tmp_path: Path
) -> None:
    address = tmp_path / "docker.sock"
    address.symlink_to(docker_engine.address.removeprefix("unix://"))
    settings = replace(PLAIN, image=docker_engine.base)
    async with open_docker(folder, settings, address=f"unix://{address}") as runtimes:
        async with opened(runtimes) as older, opened(runtimes, term=2) as runtime:
            hearing = Hearing()
            running = asyncio.create_task(run(older, 0, "echo begun; read go; echo $go", hearing))
            await hearing.hears("begun\n")
            address.unlink()
            running.cancel()
            await asyncio.wait([running])
            assert await runtime.inquire(key(0)) == Running()
            assert await runtime.inquire(key(1)) == UnknownAction()
            await runtime.send_input("on\n")
            assert (await run(runtime, 0, "true")).output == "begun\non\n"
            assert (await run(runtime, 1, "echo next")).output == "next\n"
        address.symlink_to(docker_engine.address.removeprefix("unix://"))
        await runtimes.clear()


async def test_what_a_sandbox_has_done_is_known_while_the_engine_is_gone(
    docker_engine: Engine, folder: Path, tmp_path: Path
) -> None:
    address = tmp_path / "docker.sock"
    address.symlink_to(docker_engine.address.removeprefix("unix://"))
    settings = replace(PLAIN, image=docker_engine.base)
    async with open_docker(folder, settings, address=f"unix://{address}") as runtimes:
        async with opened(runtimes) as runtime:
            done = await run(runtime, 0, "echo x >> runs; echo done")
            running = asyncio.create_task(run(runtime, 1, "echo x >> runs; kill -9 $PPID; sleep 600"))
            address.unlink()
            with pytest.raises(RuntimeUnavailable):
                await running
            assert await runtime.inquire(key(0)) == done
            assert await runtime.inquire(key(1)) == Lost()
            with pytest.raises(RuntimeUnavailable, match="start it"):
                await run(runtime, 2, "true")
            assert await runtime.inquire(key(2)) == UnknownAction()
        address.symlink_to(docker_engine.address.removeprefix("unix://"))
        await runtimes.clear()


async def test_without_the_image_it_says_what_to_do_and_a_later_try_works(docker_engine: Engine, folder: Path) -> None:
    name = f"openhands-sessions-none:{folder.parent.name.lower()[-40:].strip('_')}"
    async with docker_runtimes(docker_engine, folder, image=name) as runtimes, opened(runtimes) as runtime:
        with pytest.raises(RuntimeUnavailable, match="make images"):
            await run(runtime, 0, "true")
        assert await runtime.inquire(key(0)) == UnknownAction()
        with closing(docker_engine.client()) as client:
            client.images.get(docker_engine.base).tag(name)
            try:
                assert (await run(runtime, 0, "echo on")).output == "on\n"
            finally:
                client.images.remove(name, force=True)


async def test_an_image_without_python_is_told(docker_engine: Engine, folder: Path) -> None:
    image = docker_engine.debian
    async with docker_runtimes(docker_engine, folder, image=image) as runtimes, opened(runtimes) as runtime:
        with pytest.raises(RuntimeUnavailable, match="python3"):
            await run(runtime, 0, "true")


async def test_a_mount_that_the_engine_refuses_is_told(
    docker_engine: Engine, runtimes: DockerRuntimes, folder: Path
) -> None:
    for archive in folder.glob("executor-*"):
        archive.unlink()
    async with opened(runtimes) as runtime:
        with pytest.raises(RuntimeUnavailable, match="refused to mount"):
            await run(runtime, 0, "true")


@pytest.mark.parametrize("milliseconds", [0, 50, 150, 300])
async def test_a_sandbox_that_is_discarded_while_it_starts_leaves_nothing(
    docker_engine: Engine, runtimes: DockerRuntimes, folder: Path, milliseconds: int
) -> None:
    async with opened(runtimes) as runtime:
        running = asyncio.create_task(run(runtime, 0, "sleep 600"))
        await asyncio.wait([running], timeout=milliseconds / 1000)
        running.cancel()
        await asyncio.wait([running])
    await runtimes.discard(SID)
    assert containers(docker_engine, runtimes) == []
    assert [path.name for path in folder.iterdir() if path.is_dir()] == []


async def test_two_owners_that_start_at_once_share_one_container(
    docker_engine: Engine, runtimes: DockerRuntimes
) -> None:
    async with opened(runtimes) as first, opened(runtimes) as second:
        await asyncio.gather(run(first, 0, "echo x >> runs"), run(second, 1, "echo x >> runs"))
        assert len(containers(docker_engine, runtimes)) == 1
        assert await first.files.read("runs") == b"x\nx\n"


def _under_no_name(client: docker.DockerClient, container: str) -> Container:
    """Replace the container by one without labels of ours; its executor listens."""
    found = client.api.inspect_container(container)
    client.api.remove_container(container, force=True)
    body = {**found["Config"], "HostConfig": found["HostConfig"], "Labels": {}}
    made = client.containers.get(client.api.create_container_from_config(body)["Id"])
    made.start()
    while made.logs() != b"ready\n":
        time.sleep(LOOK_AGAIN)
    return made


def _server(engine: Engine, folder: Path) -> AbstractAsyncContextManager[DockerRuntimes]:
    """A family that leaves its sandboxes as a server does."""
    return open_docker(folder, replace(PLAIN, image=engine.base), address=engine.address)


async def test_nothing_is_measured_of_a_container_that_others_have_removed(docker_engine: Engine, folder: Path) -> None:
    async with docker_runtimes(docker_engine, folder, RESTLESS) as runtimes:
        async with opened(runtimes) as runtime:
            await run(runtime, 0, "true")
            [guard] = [task for task in asyncio.all_tasks() if task.get_name() == "size guard"]
        with closing(docker_engine.client()) as client:
            [(container, _)] = containers(docker_engine, runtimes)
            client.containers.get(container).remove(force=True)
        async with asyncio.timeout(10):
            await asyncio.wait([guard])
