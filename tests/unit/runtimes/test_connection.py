"""A connection to something that keeps silent, or is no executor at all."""

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from openhands_sessions.adapters.runtimes.executor_client.connection import (
    ConnectionLost,
    ExecutorConnection,
    ExecutorUnresponsive,
    connect_socket,
    is_responsive,
    listener_pid,
)

SECONDS = 0.1
Answering = Callable[[dict[str, Any]], dict[str, Any] | None]


def of_status_only(message: dict[str, Any]) -> dict[str, Any] | None:
    return {"id": message["id"], "idle": False} if message["op"] == "status" else None


def of_nothing(message: dict[str, Any]) -> dict[str, Any] | None:
    return None


@asynccontextmanager
async def executor(path: Path, answering: Answering, *, greets: bool = True) -> AsyncIterator[None]:
    """Something that listens, says hello if it `greets`, and then answers as it likes."""
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            await received(reader)
            if greets:
                await tell(writer, {"version": 1})
            while True:
                answer = answering(await received(reader))
                if answer is not None:
                    await tell(writer, answer)
        writer.close()

    async with await asyncio.start_unix_server(talk, path):
        yield
        for task in talks:
            task.cancel()
        await asyncio.wait(talks)


async def received(reader: asyncio.StreamReader) -> dict[str, Any]:
    (length,) = struct.unpack(">I", await reader.readexactly(4))
    message: dict[str, Any] = json.loads(await reader.readexactly(length))
    return message


async def tell(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    data = json.dumps(message).encode()
    writer.write(struct.pack(">I", len(data)) + data)
    await writer.drain()


@asynccontextmanager
async def linked(path: Path) -> AsyncIterator[ExecutorConnection]:
    link = await connect_socket(path, term=1, seconds=SECONDS)
    assert link is not None
    try:
        yield link
    finally:
        await link.close()


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[Path]:
    async with asyncio.timeout(20):
        yield tmp_path / "executor.sock"


async def test_one_that_falls_silent_is_given_up(path: Path) -> None:
    async with executor(path, of_nothing), linked(path) as link:
        others = [asyncio.create_task(link.call("inquire", {})) for _ in range(2)]
        with pytest.raises(ConnectionLost):
            await link.call("perform", {})
        assert [type(each) for each in await asyncio.gather(*others, return_exceptions=True)] == [
            ConnectionLost,
            ConnectionLost,
        ]
        assert link.timed_out
        assert not link.alive


async def test_one_that_gives_signs_of_life_may_take_its_time(path: Path) -> None:
    signs = 0

    def after_ten_signs(message: dict[str, Any]) -> dict[str, Any] | None:
        nonlocal signs
        signs += message["op"] == "status"
        return {"id": 1, "outcome": {}} if signs == 10 else of_status_only(message)

    async with executor(path, after_ten_signs), linked(path) as link:
        assert "outcome" in await link.call("perform", {})
        assert link.alive


async def test_what_takes_no_work_is_not_waited_for_however_lively_one_is(path: Path) -> None:
    async with executor(path, of_status_only), linked(path) as link:
        with pytest.raises(ConnectionLost):
            await link.ask("inquire", {})
        assert link.timed_out


async def test_one_that_is_asked_nothing_may_keep_silent(path: Path) -> None:
    asked = []

    def noting(message: dict[str, Any]) -> dict[str, Any]:
        asked.append(message["op"])
        return {"id": message["id"]}

    async with executor(path, noting), linked(path) as link:
        await link.call("inquire", {})
        await asyncio.wait([asyncio.create_task(asyncio.sleep(5 * SECONDS))])
        assert asked == ["inquire"]
        assert link.alive


async def test_a_peer_that_does_not_read_does_not_delay_the_close(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        connecting = asyncio.create_task(connect_socket(path, term=1, seconds=5))
        there, _ = await asyncio.to_thread(listening.accept)
        with there:
            there.sendall(b'\x00\x00\x00\x0d{"version":1}')
            link = await connecting
            assert link is not None
            writing = asyncio.create_task(link.call("write", {"content": "x" * (4 << 20)}))
            await asyncio.wait([writing], timeout=SECONDS)
            writing.cancel()
            await asyncio.wait([writing])
            await link.close()


async def test_one_that_does_not_say_hello_is_told_from_one_that_is_gone(path: Path) -> None:
    assert await connect_socket(path, term=1) is None
    async with executor(path, of_nothing, greets=False):
        with pytest.raises(ExecutorUnresponsive):
            await connect_socket(path, term=1, seconds=SECONDS)
        assert not await is_responsive(connect_socket(path, term=None, seconds=SECONDS), SECONDS)


async def test_a_hello_alone_is_no_answer(path: Path) -> None:
    async with executor(path, of_nothing):
        assert not await is_responsive(connect_socket(path, term=None), SECONDS)
    async with executor(path, of_status_only):
        assert await is_responsive(connect_socket(path, term=None), 10)


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
async def test_a_socket_of_another_kind_is_none(path: Path, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_UNIX, kind) as other:
        other.bind(str(path))
        await refused(path)


async def test_a_socket_that_no_more_can_wait_at_is_none(path: Path) -> None:
    with contextlib.ExitStack() as waiting:
        listening = waiting.enter_context(socket.socket(socket.AF_UNIX))
        listening.bind(str(path))
        listening.listen(1)
        with contextlib.suppress(BlockingIOError):
            while True:
                client = waiting.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                client.connect(str(path))
        with pytest.raises(ExecutorUnresponsive):
            await connect_socket(path, term=1, seconds=SECONDS)


async def test_a_folder_is_no_socket(path: Path) -> None:
    path.mkdir()
    await refused(path)


async def refused(path: Path) -> None:
    """No way to it, and no word of where it lies."""
    for way in (connect_socket(path, term=1, seconds=SECONDS), listener_pid(path)):
        with pytest.raises(ExecutorUnresponsive) as caught:
            await way
        assert "/" not in caught.value.message


async def test_a_connection_that_broke_is_not_alive_when_that_is_told(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        connecting = asyncio.create_task(connect_socket(path, term=1, seconds=SECONDS))
        far, _ = await asyncio.to_thread(listening.accept)
        hello = json.dumps({"version": 1}).encode()
        far.send(struct.pack(">I", len(hello)) + hello)
        link = await connecting
        assert link is not None
        far.close()
        with pytest.raises(ConnectionLost):
            await link.call("inquire", {})
        assert not link.alive
        await link.close()
