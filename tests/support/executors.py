"""An executor started by its path, and a client that speaks to it without any of our code."""

import asyncio
import contextlib
import json
import struct
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXECUTOR = Path(__file__).parents[2] / "openhands_sessions" / "executor"

Message = dict[str, Any]


@dataclass
class Peer:
    """One connection, frame by frame."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, message: Message) -> None:
        data = json.dumps(message).encode()
        self.writer.write(struct.pack(">I", len(data)) + data)
        await self.writer.drain()

    async def receive(self) -> Message:
        """The next frame; an empty one for the end of the connection."""
        try:
            (length,) = struct.unpack(">I", await self.reader.readexactly(4))
            message: Message = json.loads(await self.reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            return {}
        return message

    async def ask(self, number: int, op: str, **body: object) -> Message:
        """The answer to a request, past the pieces that come before it."""
        await self.send({"id": number, "op": op, **body})
        return await self.answer(number)

    async def answer(self, number: int) -> Message:
        while True:
            message = await self.receive()
            if not message or (message["id"] == number and "piece" not in message):
                return message

    async def run(self, number: int, command: str) -> Message:
        task = {"kind": "command", "command": command}
        return await self.ask(number, "perform", key=f"k-{number}", task=task)


@dataclass
class RunningExecutor:
    """An executor that runs in the foreground, in a folder of its own."""

    folder: Path
    process: asyncio.subprocess.Process

    @contextlib.asynccontextmanager
    async def connected(self, **hello: object) -> AsyncIterator[Peer]:
        """After the hello, whose answer is left to be received."""
        reader, writer = await asyncio.open_unix_connection(self.folder / "executor.sock")
        peer = Peer(reader, writer)
        try:
            if hello:
                await peer.send({"op": "hello", "version": 1, **hello})
            yield peer
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    @contextlib.asynccontextmanager
    async def owner(self, term: int = 1) -> AsyncIterator[Peer]:
        async with self.connected(term=term) as peer:
            assert (await peer.receive())["version"] == 1
            yield peer


@contextlib.asynccontextmanager
async def started(
    folder: Path, *, program: Path = EXECUTOR, options: tuple[str, ...] = (), within: tuple[str, ...] = ()
) -> AsyncIterator[RunningExecutor]:
    """Run an executor until the end of the block; `within` is a command that runs the rest of its arguments."""
    folder.mkdir(exist_ok=True)
    places = ("--socket", folder / "executor.sock", "--workspace", folder, "--state", folder / "state")
    process = await asyncio.create_subprocess_exec(
        *within, sys.executable, "-I", "-S", program, *places, *options, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        yield RunningExecutor(folder, process)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
