"""A Docker API that only lists containers and pulls images, with answers from the test."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

Pull = Callable[[asyncio.StreamWriter], Awaitable[None]]
"""Writes the answer to one request for an image; the connection is closed then."""
BEGUN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
_VERSION = json.dumps({"ApiVersion": "1.43", "Version": "24"}).encode()


def piece(**step: object) -> bytes:
    """A step of a pull, as it goes over the wire."""
    text = json.dumps(step).encode() + b"\r\n"
    return b"%x\r\n%s\r\n" % (len(text), text)


async def _nothing(writer: asyncio.StreamWriter) -> None:
    """Hang up."""


@asynccontextmanager
async def fake_pull_engine(
    folder: Path, pull: Pull = _nothing, containers: Sequence[Mapping[str, object]] = ()
) -> AsyncIterator[str]:
    """Its address."""
    listed = json.dumps(containers).encode()
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            asked = request.partition(b"\r\n")[0]
            if b"/images/create" in asked:
                await pull(writer)
            else:
                answer = listed if b"/containers/json" in asked else _VERSION
                writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(answer))
                writer.write(answer)
        except (asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError):
            pass  # the end of the block, or a knock that asks for nothing
        finally:
            writer.close()
            serving.discard(task)

    path = folder / "engine.sock"
    server = await asyncio.start_unix_server(serve, path)
    try:
        yield f"unix://{path}"
    finally:
        server.close()
        for task in tuple(serving):
            task.cancel()
        if serving:
            await asyncio.wait(serving)
