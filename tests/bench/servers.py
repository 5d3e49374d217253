"""Starts the servers that are measured, each as a process of its own."""

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

READY_WITHIN = 30.0


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers. `ready_after` in seconds from its start."""

    port: int
    pid: int
    ready_after: float

    def memory(self) -> float:
        """Resident memory in MB."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def threads(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def floor_server(http: aiohttp.ClientSession) -> AsyncIterator[Running]:
    """The bare echo server."""
    port = free_port()
    async with _process([sys.executable, "-m", "tests.bench.floor", str(port)], {}, http, port, "/socket.io/") as ran:
        yield ran


@asynccontextmanager
async def our_server(
    http: aiohttp.ClientSession, data_dir: Path, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Running]:
    """The real thing, as `serve` starts it."""
    port = free_port()
    command = [sys.executable, "-m", "openhands_sessions", "serve", "--port", str(port), "--data-dir", str(data_dir)]
    environment = {"OHS_LOG__LEVEL": "error", **(settings or {})}
    async with _process(command, environment, http, port, "/health/ready") as ran:
        yield ran


@asynccontextmanager
async def _process(
    command: list[str], settings: Mapping[str, str], http: aiohttp.ClientSession, port: int, path: str
) -> AsyncIterator[Running]:
    begun = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, **settings}, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(READY_WITHIN):
            await _answered(process, http, f"http://127.0.0.1:{port}{path}")
        yield Running(port, process.pid, time.perf_counter() - begun)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _answered(process: asyncio.subprocess.Process, http: aiohttp.ClientSession, url: str) -> None:
    while process.returncode is None:
        try:
            async with http.get(url):
                return
        except aiohttp.ClientConnectionError:
            await asyncio.sleep(0.005)
    raise RuntimeError(f"the server ended with code {process.returncode} before it was ready")
