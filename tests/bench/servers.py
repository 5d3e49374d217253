"""Starts the servers that are measured, each as a process of its own."""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.support.ports import free_port

READY_WITHIN = 30.0
TICKS = os.sysconf("SC_CLK_TCK")
HERE = Path(__file__).parents[2]
_BYTECODE = tempfile.TemporaryDirectory(prefix="ohs-bench-bytecode-")


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers. `ready_after` in seconds from its start, `start_cpu` in seconds of processor time."""

    port: int
    process: asyncio.subprocess.Process
    ready_after: float
    start_cpu: float

    @property
    def pid(self) -> int:
        return self.process.pid

    def cpu(self) -> float:
        """Seconds of processor time, of all threads."""
        return cpu_of(self.pid)

    def memory(self) -> float:
        """Resident memory in MB."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0

    async def terminated(self) -> int:
        """Its exit code after SIGTERM."""
        self.process.terminate()
        return await self.process.wait()

    def threads(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Of a measured process: with its bytecode cached, as an installed program's is."""
    ours = {**os.environ, "PYTHONPYCACHEPREFIX": _BYTECODE.name, **settings}
    ours.pop("PYTHONDONTWRITEBYTECODE", None)
    return ours


@asynccontextmanager
async def floor_server(http: aiohttp.ClientSession, pauses: Path | None = None) -> AsyncIterator[Running]:
    """The bare echo server; `pauses` as in `our_server`."""
    port = free_port()
    command = [*_program("tests.bench.floor", pauses), str(port)]
    async with _process(command, {}, http, port, "/socket.io/") as ran:
        yield ran


@asynccontextmanager
async def our_server(
    http: aiohttp.ClientSession,
    data_dir: Path,
    settings: Mapping[str, str] | None = None,
    *,
    code: Path = HERE,
    profile: Path | None = None,
    pauses: Path | None = None,
) -> AsyncIterator[Running]:
    """The real thing, as `serve` starts it, from the folder `code`. `profile` takes what cProfile saw of it, `pauses`
    the garbage collector's longest pause in seconds, both when it has ended."""
    port = free_port()
    module = _program("openhands_sessions", pauses)
    if profile is not None:
        module = ["-m", "cProfile", "-o", str(profile.absolute()), *module]
    command = [*module, "serve", "--port", str(port), "--data-dir", str(data_dir)]
    # An empty key leaves callers unasked, as every revision understands it.
    ours = {"OHS_LOG__LEVEL": "error", "OHS_SERVER__SESSION_API_KEY": "", "PYTHONPATH": str(code), **(settings or {})}
    if "creates_per_minute" in (code / "openhands_sessions" / "config" / "config.py").read_text():
        ours |= {"OHS_LIMITS__CREATES_PER_MINUTE": "0", "OHS_LIMITS__REQUESTS_PER_SECOND": "0"}
    async with _process(command, ours, http, port, "/health/ready", code) as ran:
        yield ran


def _program(module: str, pauses: Path | None) -> list[str]:
    return ["-m", module] if pauses is None else [str(HERE / "tests" / "bench" / "pauses.py"), str(pauses), module]


@asynccontextmanager
async def _process(
    command: Sequence[str],
    settings: Mapping[str, str],
    http: aiohttp.ClientSession,
    port: int,
    path: str,
    folder: Path = HERE,
) -> AsyncIterator[Running]:
    begun = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, env=environment(settings), cwd=folder, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(READY_WITHIN):
            await _answered(process, http, f"http://127.0.0.1:{port}{path}")
        yield Running(port, process, time.perf_counter() - begun, cpu_of(process.pid))
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
