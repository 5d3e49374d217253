"""Sandboxes that keep their files in volumes, with a listener on loopback where the sandbox's executor would be."""

import asyncio
import contextlib
import fcntl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from openhands_sessions.adapters.runtimes.docker.container_spec import SECRET, DockerSettings
from openhands_sessions.adapters.runtimes.docker.engine import DockerEngine
from openhands_sessions.adapters.runtimes.docker.volumes import ExecutorVolume, VolumeStorage
from openhands_sessions.adapters.runtimes.local.paths import SandboxPaths
from openhands_sessions.adapters.runtimes.threads import ThreadLimiter
from openhands_sessions.executor.frames import VERSION, encode, read_frame

TERM_LOCK = "arming"


class Listener:
    """Answers the hello of each client, and says when it came and when its connection ended."""

    def __init__(self) -> None:
        self.greeted = asyncio.Event()
        self.ended = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_frame(reader)
        writer.write(encode({"version": VERSION}))
        self.greeted.set()
        await reader.read()
        writer.close()
        self.ended.set()


class Published(DockerEngine):
    """An engine that publishes one port, for whatever container."""

    def __init__(self, port: int) -> None:
        super().__init__("tcp://127.0.0.1:1")
        self._published = port

    async def port(self, container: str, port: int) -> int | None:
        return self._published


@pytest.fixture
async def listener() -> Listener:
    return Listener()


@pytest.fixture
async def storage(tmp_path: Path, listener: Listener) -> AsyncIterator[VolumeStorage]:
    server = await asyncio.start_server(listener.serve, "127.0.0.1", 0)
    engine = Published(server.sockets[0].getsockname()[1])
    storage = VolumeStorage(
        SandboxPaths(tmp_path),
        "box",
        engine=engine,
        settings=DockerSettings(),
        executor=ExecutorVolume("instance", Path("executor.pyz")),
        limiter=ThreadLimiter(2),
    )
    (tmp_path / SECRET).write_text("secret")
    yield storage
    server.close()
    await server.wait_closed()
    await engine.close()


async def test_connecting_that_is_cancelled_behind_the_hello_leaves_no_connection(
    storage: VolumeStorage, listener: Listener, tmp_path: Path
) -> None:
    with (tmp_path / TERM_LOCK).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # a higher term waits for it
        connecting = asyncio.create_task(storage.connect(7))
        await listener.greeted.wait()
        assert await storage.term() == -1
        connecting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await connecting
        async with asyncio.timeout(10):
            await listener.ended.wait()
    assert await storage.term() == -1


async def test_a_connection_of_a_higher_term_raises_the_term_that_is_stored(storage: VolumeStorage) -> None:
    connection = await storage.connect(7)
    assert connection is not None
    await connection.close()
    assert await storage.term() == 7
