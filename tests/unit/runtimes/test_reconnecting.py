"""A connection that breaks, while the executor at its other end goes on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from openhands_sessions.adapters.runtimes.executor_client.connection import ExecutorConnection, connect_socket
from openhands_sessions.adapters.runtimes.executor_client.files import FolderFiles
from openhands_sessions.adapters.runtimes.executor_client.journal import JournalIdentity
from openhands_sessions.adapters.runtimes.executor_client.runtime import ExecutorRuntime
from openhands_sessions.adapters.runtimes.threads import ThreadLimiter
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.executor.workspace import WorkspaceFolder
from openhands_sessions.ports.runtime import CommandDone, Lost, RuntimeSpec, UnknownAction
from tests.support.executors import RunningExecutor, started
from tests.support.sandboxes import SID, Hearing, run


class Wire:
    """Stands between a client and a socket, and can be cut: each connection alone, what comes next goes through."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._open: set[asyncio.StreamWriter] = set()
        self.connections = 0
        self.cutting = False
        """Whether each new connection is cut where the client asks for something after its greeting."""
        self.passing = asyncio.Event()
        self.passing.set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await self.passing.wait()
        far_reader, far_writer = await asyncio.open_unix_connection(self._target)
        self._open = {writer, far_writer}
        async with asyncio.TaskGroup() as both:
            both.create_task(self._pass_on_requests(reader, far_writer))
            both.create_task(pass_on(far_reader, writer))

    async def _pass_on_requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.cutting:
            writer.write(await reader.read(1 << 16))
            await reader.read(1 << 16)
            self.cut()
        await pass_on(reader, writer)

    def cut(self) -> None:
        for writer in self._open:
            writer.transport.abort()


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


class WiredHost:
    """Reaches one executor over a wire."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def connect(self) -> ExecutorConnection | None:
        return await connect_socket(self._socket, term=1)

    async def end_unresponsive(self) -> None:
        raise AssertionError("it answers")

    async def start(self) -> None:
        raise AssertionError("it runs")

    async def claim(self) -> None:
        pass

    async def recorded_outcome(self, key: str) -> CommandDone | UnknownAction | Lost:
        raise AssertionError("it runs")


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[RunningExecutor]:
    async with asyncio.timeout(30), started(tmp_path / "box") as box:
        yield box


@pytest.fixture
async def wire(box: RunningExecutor, tmp_path: Path) -> AsyncIterator[Wire]:
    wire = Wire(box.folder / "executor.sock")
    server = await asyncio.start_unix_server(wire.carry, tmp_path / "wire")
    async with server:
        yield wire
        wire.cut()


@pytest.fixture
def host(wire: Wire, tmp_path: Path) -> WiredHost:
    return WiredHost(tmp_path / "wire")


@pytest.fixture
async def runtime(box: RunningExecutor, host: WiredHost) -> AsyncIterator[ExecutorRuntime]:
    files = FolderFiles(WorkspaceFolder(box.folder), ThreadLimiter(1))
    journal = JournalIdentity(box.folder, ThreadLimiter(1))
    runtime = ExecutorRuntime(RuntimeSpec(sid=SID, term=1), host, files, journal, command_timeout=30)
    try:
        yield runtime
    finally:
        await runtime.close()


async def test_a_command_is_joined_again_by_its_key(runtime: ExecutorRuntime, wire: Wire) -> None:
    hearing = Hearing()
    running = asyncio.create_task(run(runtime, 0, "echo x >> runs; echo begun; read go; echo $go", hearing))
    await hearing.hears("begun\n")
    wire.cut()
    assert await runtime.send_input("on\n")
    assert (await running).output == "begun\non\n"
    assert wire.connections == 2
    assert await runtime.files.read("runs") == b"x\n"


async def test_what_was_printed_while_it_was_cut_off_comes_afterwards(
    runtime: ExecutorRuntime, wire: Wire, box: RunningExecutor
) -> None:
    hearing = Hearing()
    command = "echo begun; read go; echo unheard; echo > said; read go; echo $go"
    running = asyncio.create_task(run(runtime, 0, f"mkfifo said; {command}", hearing))
    await hearing.hears("begun\n")
    wire.passing.clear()
    wire.cut()
    async with box.owner() as other:
        assert (await other.ask(1, "input", text="on\n"))["taken"]
        await ThreadLimiter(1).run((box.folder / "said").read_text)
        wire.passing.set()
        assert await runtime.send_input("end\n")
    assert (await running).output == "begun\nunheard\nend\n"
    # Whoever comes back when all is over hears no more: it is in the outcome.
    assert hearing.text in ("begun\n", "begun\nunheard\n", "begun\nunheard\nend\n")


async def test_a_connection_that_is_cut_again_and_again_is_given_up(runtime: ExecutorRuntime, wire: Wire) -> None:
    hearing = Hearing()
    running = asyncio.create_task(run(runtime, 0, "echo begun; read go", hearing))
    await hearing.hears("begun\n")

    wire.cutting = True
    wire.cut()
    with pytest.raises(RuntimeUnavailable):
        await running
    wire.cutting = False
    assert await runtime.send_input("on\n")
    assert (await run(runtime, 0, "echo never")).output == "begun\n"
