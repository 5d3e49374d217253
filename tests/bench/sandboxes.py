"""Docker sandboxes, beside plain containers of the same image and a bash that is attached to one."""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from openhands_sessions.adapters.runtimes.docker.runtimes import DockerRuntimes
from openhands_sessions.core.ids import ConversationId, folder_name
from openhands_sessions.core.masking import SecretMasker, StreamMasker
from openhands_sessions.executor.capture import Kept, OutputCapture
from openhands_sessions.ports.runtime import RunCommand, Runtime, RuntimeSpec
from tests.bench.bench import Bench
from tests.bench.measures import median, percentile
from tests.bench.table import Row
from tests.support.docker_engine import Engine, NoEngine, opened
from tests.support.docker_sandboxes import PLAIN, comes_to, docker_runtimes
from tests.support.processes import peak_memory, restarted_peak

ROUNDS = 8
CROWD = 20
FLOOD = "yes 0123456789abcdef | head -c 100000000"
T = TypeVar("T")
PIECE = 65_536
"""Bytes that the executor reads of a terminal at once."""
SIZES = (64 << 10, 64 << 10)
"""Bytes of an output's head and tail that are kept."""
RESTLESS = replace(PLAIN, pause_after=0.1)


async def rows(bench: Bench) -> list[Row]:
    """Empty where no engine answers and none can be started."""
    try:
        with opened() as engine, tempfile.TemporaryDirectory(prefix="ohs-bench-") as name:
            folder = Path(name)
            return [
                *await _first_commands(engine, folder / "first"),
                *await _next_commands(engine, folder / "next"),
                *await _wakes(engine, folder / "wakes"),
                *await _crowd(engine, folder / "crowd"),
            ]
    except NoEngine:
        return []


async def _first_commands(engine: Engine, folder: Path) -> list[Row]:
    plain = median([await asyncio.to_thread(_plain_run, engine) for _ in range(ROUNDS)])
    cold, warm = [], []
    async with docker_runtimes(engine, folder, replace(PLAIN, network="egress")) as runtimes:
        for _ in range(ROUNDS):
            async with _conversation(runtimes, "cold") as runtime:
                cold.append(await _timed(runtime, "true"))
    async with docker_runtimes(engine, folder, replace(PLAIN, network="egress", warm=1)) as runtimes:
        for _ in range(ROUNDS):
            await runtimes.warm_up()
            async with _conversation(runtimes, "warm") as runtime:
                warm.append(await _timed(runtime, "true"))
    return [
        Row("first command, a container waits, p50", median(warm) * 1e3, "ms", 60, floor=plain * 1e3),
        Row("first command, cold, p50", median(cold) * 1e3, "ms", 450, floor=plain * 1e3),
    ]


async def _next_commands(engine: Engine, folder: Path) -> list[Row]:
    async with docker_runtimes(engine, folder) as runtimes, _conversation(runtimes, "next") as runtime:
        await _timed(runtime, "true")
        ours = median([await _timed(runtime, "true", number) for number in range(1, 101)])
        container = f"openhands-sessions-{runtimes.instance}-{folder_name(ConversationId('next'))}"
        bare = await _attached_bash(engine, container)
        executor = await asyncio.to_thread(_executor_of, engine, container)
        before = restarted_peak(os.getpid()), restarted_peak(executor)
        told: list[str] = []
        flood = await _timed(runtime, FLOOD, 101, told.append)
        grown = [peak_memory(pid) - peak for pid, peak in zip((os.getpid(), executor), before, strict=True)]
    return [
        Row("`true` in a sandbox, p50", ours * 1e3, "ms", bare * 1e3 + 3, floor=bare * 1e3),
        Row("100 MB of output", flood, "s", 3.0),
        Row("rendering and masking of it", _rendering(told) * 1e3, "ms", 0.1 * flood * 1e3),
        Row("memory that it took in the server", grown[0] / 1e6, "MB", 5),
        Row("memory that it took in the executor", grown[1] / 1e6, "MB", 5),
    ]


def _executor_of(engine: Engine, container: str) -> int:
    """The number of the executor's process, as this machine counts."""
    with closing(engine.client()) as client:
        top = client.containers.get(container).top(ps_args="-eo pid,args")
    return next(int(pid) for pid, words in top["Processes"] if "executor" in words and "init" not in words)


async def _wakes(engine: Engine, folder: Path) -> list[Row]:
    times = []
    async with docker_runtimes(engine, folder, RESTLESS) as runtimes, _conversation(runtimes, "wakes") as runtime:
        for number in range(ROUNDS):
            await _timed(runtime, "true", 2 * number)
            await comes_to(engine, runtimes, "paused")
            times.append(await _timed(runtime, "true", 2 * number + 1))
    return [Row("from paused to a result, p50", median(times) * 1e3, "ms", 60)]


async def _crowd(engine: Engine, folder: Path) -> list[Row]:
    async def one(number: int) -> None:
        async with runtimes.open(RuntimeSpec(sid=ConversationId(f"crowd-{number}"), term=1)) as runtime:
            await _timed(runtime, "true")

    lags: list[float] = []
    async with docker_runtimes(engine, folder, replace(PLAIN, network="egress")) as runtimes:
        watching = asyncio.create_task(_watch_lag(lags))
        began = time.perf_counter()
        await asyncio.gather(*(one(number) for number in range(CROWD)))
        seconds = time.perf_counter() - began
        watching.cancel()
        await asyncio.wait([watching])
        await asyncio.gather(*(runtimes.discard(ConversationId(f"crowd-{number}")) for number in range(CROWD)))
    return [
        Row(f"{CROWD} sandboxes at once", seconds, "s", 8.0),
        Row("the event loop's lag meanwhile, p99", percentile(lags, 0.99) * 1e3, "ms", 50),
    ]


@asynccontextmanager
async def _conversation(runtimes: DockerRuntimes, name: str) -> AsyncIterator[Runtime]:
    """Open, and discarded in the end."""
    sid = ConversationId(name)
    async with runtimes.open(RuntimeSpec(sid=sid, term=1)) as runtime:
        yield runtime
    await runtimes.discard(sid)


async def _timed(
    runtime: Runtime, command: str, number: int = 0, on_output: Callable[[str], None] = lambda text: None
) -> float:
    began = time.perf_counter()
    await runtime.perform(f"bench-{number}", RunCommand(command=command), on_output)
    return time.perf_counter() - began


def _rendering(told: Sequence[str]) -> float:
    """Seconds that the flood costs more for being shown as on a terminal, in the executor, and for the masking of what
    clients are told of it, in the server."""
    line = b"0123456789abcdef\n"
    piece = line * (PIECE // len(line))
    count = 100_000_000 // len(piece)
    capture, kept = OutputCapture(*SIZES), Kept(*SIZES)
    rendered = _seconds(capture.add, [piece] * count)
    stored = _seconds(kept.add, [piece] * count)
    masker = StreamMasker(SecretMasker([f"secret-{number}-of-a-conversation" for number in range(10)]))
    return rendered - stored + _seconds(masker.feed, told)


def _seconds(take: Callable[[T], object], pieces: Sequence[T]) -> float:
    began = time.perf_counter()
    for piece in pieces:
        take(piece)
    return time.perf_counter() - began


async def _watch_lag(lags: list[float], every: float = 0.005) -> None:
    while True:
        began = time.perf_counter()
        await asyncio.sleep(every)
        lags.append(time.perf_counter() - began - every)


async def _attached_bash(engine: Engine, container: str) -> float:
    words = ("docker", "--host", engine.address, "exec", "--interactive", container, "bash")
    bash = await asyncio.create_subprocess_exec(*words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    assert bash.stdin is not None
    assert bash.stdout is not None
    times = []
    for _ in range(100):
        began = time.perf_counter()
        bash.stdin.write(b"true; echo\n")
        await bash.stdout.readline()
        times.append(time.perf_counter() - began)
    bash.stdin.close()
    await bash.wait()
    return median(times)


def _plain_run(engine: Engine) -> float:
    """`docker run IMAGE true`, with nothing taken away."""
    began = time.perf_counter()
    with closing(engine.client()) as client:
        made = client.containers.create(engine.base, ["true"])
        made.start()
        made.wait()
    seconds = time.perf_counter() - began
    with closing(engine.client()) as client:
        client.containers.get(made.id).remove()
    return seconds
