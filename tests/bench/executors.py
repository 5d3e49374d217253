"""Executors of local sandboxes: how fast one that has ended is there again, and what memory each takes."""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from openhands_sessions.adapters.runtimes.executor_client.connection import connect_socket, listener_pid
from openhands_sessions.adapters.runtimes.local.runtimes import LocalRuntimes
from openhands_sessions.core.ids import ConversationId, folder_name
from openhands_sessions.ports.runtime import RunCommand, Runtime, RuntimeSpec
from tests.bench.bench import Bench
from tests.bench.measures import median, percentile
from tests.bench.table import Row
from tests.support.processes import private_memory

SID = ConversationId("restarts")
ROUNDS = 40
BARE = "import sys; sys.modules['ssl'] = None; import asyncio; sys.stdout.write('ready'); sys.stdout.flush(); input()"


async def rows(bench: Bench) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="ohs-bench-") as name:
        runtimes = LocalRuntimes(Path(name))
        socket = Path(name) / folder_name(SID) / "state" / "executor.sock"
        try:
            async with runtimes.open(RuntimeSpec(sid=SID, term=1)) as runtime:
                await _command(runtime, 0)
                times = [await _restarted(runtime, socket, number) for number in range(1, ROUNDS)]
                pid = await listener_pid(socket)
                assert pid is not None
                memory = private_memory(pid)
        finally:
            await runtimes.discard(SID)
    bare = [await _bare() for _ in range(ROUNDS // 4)]
    floor, floor_memory = median([seconds for seconds, _ in bare]), median([memory for _, memory in bare])
    return [
        Row("executor that ended: next command, p50", median(times) * 1e3, "ms", 100, floor=floor * 1e3),
        Row("executor that ended: next command, p95", percentile(times, 0.95) * 1e3, "ms", 150, floor=floor * 1e3),
        Row("memory of an executor alone", memory / 1e6, "MB", 12, floor=floor_memory / 1e6),
    ]


async def _command(runtime: Runtime, number: int) -> float:
    begun = time.perf_counter()
    await runtime.perform(f"restart-{number}", RunCommand(command="true"), lambda text: None)
    return time.perf_counter() - begun


async def _restarted(runtime: Runtime, socket: Path, number: int) -> float:
    connection = await connect_socket(socket, term=None)
    assert connection is not None
    try:
        await connection.shutdown()
    finally:
        await connection.close()
    return await _command(runtime, number)


async def _bare() -> tuple[float, float]:
    """How long a Python takes that loads asyncio and nothing else, and its memory."""
    begun = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-c", BARE), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    await process.stdout.readexactly(len("ready"))
    seconds, memory = time.perf_counter() - begun, private_memory(process.pid)
    await process.communicate(b"\n")
    return seconds, memory
