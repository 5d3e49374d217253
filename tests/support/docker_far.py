"""A Docker engine as one on another machine is reached: by an address of the network, which shares no folders."""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import docker
from docker.errors import DockerException

from tests.support.docker_engine import Engine

_READY_WITHIN = 20.0
_LOOK_AGAIN = 0.05
_PIECE = 64 << 10


@contextmanager
def far(engine: Engine) -> Iterator[Engine]:
    """The same engine at `tcp://…`, until the end of the block."""
    inside = [] if engine.namespace is None else ["nsenter", f"--net={engine.namespace}"]
    words = [sys.executable, "-m", __name__, engine.there, engine.address.removeprefix("unix://")]
    process = subprocess.Popen([*inside, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        address = f"tcp://{engine.there}:{int(process.stdout.readline())}"
        _wait_for(address)
        yield replace(engine, address=address)
    finally:
        process.kill()
        process.communicate()


def _wait_for(address: str) -> None:
    until = time.monotonic() + _READY_WITHIN
    while True:
        with contextlib.suppress(DockerException), contextlib.closing(docker.APIClient(base_url=address)) as client:
            client.ping()
            return
        assert time.monotonic() < until, f"{address} does not answer"
        time.sleep(_LOOK_AGAIN)


async def _serve(host: str, path: str) -> None:
    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(path)
        await asyncio.gather(_copied(reader, back), _copied(there, writer))

    server = await asyncio.start_server(pass_on, host, 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
