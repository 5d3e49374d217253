"""A full disk for a server process, and its readiness."""

import asyncio
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp

from tests.support.running_server import Server
from tests.support.server_clients import Rest

SMALL = 32 * 1024
PATIENCE = 30.0


@contextmanager
def full_disk(server: Server) -> Iterator[None]:
    """A limit on file sizes stands in for it: the kernel refuses what makes a file longer. Of the process that runs
    when the block begins; the block may outlive it."""
    pid = server.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (SMALL, hard))
    try:
        yield
    finally:
        if server.runs(pid):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


async def becomes(rest: Rest, status: int) -> Any:
    """Ask for readiness until it has this status; the body."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                found, body = await rest.ask("GET", "/health/ready")
            except aiohttp.ClientConnectionError:
                found = 0
            if found == status:
                return body
            await asyncio.sleep(0.05)
