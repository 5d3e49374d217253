"""Rows of a server under load: events, round trips, connections, memory."""

import asyncio
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from tests.bench import measures
from tests.bench.bench import Bench
from tests.bench.load import WAVES, Job, Result, open_clients
from tests.bench.servers import Running, floor_server
from tests.bench.table import Row

SOCKET_IO = "/socket.io/?EIO=4&transport=websocket"
MANY = 100
"""Clients of one conversation, or conversations with one client each."""
LIVE = 500
"""Conversations whose memory is measured."""
SECONDS = 3.0
WATCHED = 20.0
"""Seconds that the bystander is watched."""
MESSAGE = f'42["oh_user_action",{{"action":"message","args":{{"content":"{"x" * 750}"}}}}]'
"""Its event takes 1.7 KB, as it has the text twice."""
FRAME = "x" * 1_680
JOIN = '42["join",{}]'
AT_ONCE = 20
WAVE, TALKS = 2_000, 20
"""Clients that come at once and leave, and the conversations that they follow."""
SETTLED = 1.0
"""Seconds after which a server has done what came with its clients."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a scenario gave, with the processor time that the server took for it, in seconds."""

    result: Result
    cpu: float

    @property
    def rate(self) -> float:
        return self.result.count / self.result.seconds

    @property
    def cpu_each(self) -> float:
        """In µs."""
        return self.cpu / self.result.count * 1e6

    def percentile(self, part: float) -> float:
        """Of the round trips, in ms."""
        return measures.percentile(self.result.times, part) * 1e3


@dataclass(frozen=True, slots=True)
class Loads:
    """One scenario with our server, and with plain python-socketio and raw frames where they are measured."""

    ours: Load
    stock: Load | None = None
    raw: Load | None = None

    def row(self, name: str, figure: Callable[[Load], float], unit: str, goal: float, *, most: bool = True) -> Row:
        stock, raw = (None if load is None else figure(load) for load in (self.stock, self.raw))
        return Row(name, figure(self.ours), unit, goal, stock, raw, most)


async def fan_out(bench: Bench) -> list[Row]:
    loads = await _loads(bench, "fan_out", clients=MANY, conversations=1, seconds=SECONDS)
    name = "one event to 100 clients"
    return [
        loads.row(f"{name}, server CPU per delivery", lambda load: load.cpu_each, "µs", 25),
        loads.row(f"{name}, deliveries", lambda load: load.rate, "/s", 30_000, most=False),
    ]


async def round_trips(bench: Bench) -> list[Row]:
    loads = await _loads(bench, "round_trips", clients=MANY, conversations=MANY, seconds=SECONDS)
    name = "100 conversations in a closed loop, round trips"
    return [loads.row(name, lambda load: load.rate, "/s", 6_500, most=False)]


async def connects(bench: Bench) -> list[Row]:
    loads = await _loads(bench, "connects", clients=1, conversations=1, seconds=SECONDS)
    return [loads.row("connects of protocol 2 clients", lambda load: load.rate, "/s", 1_500, most=False)]


async def bystander(bench: Bench) -> list[Row]:
    loads = await _loads(bench, "bystander", clients=MANY, conversations=MANY, seconds=WATCHED)
    name = "a bystander of 99 quiet conversations"
    return [
        loads.row(f"{name}, p99", lambda load: load.percentile(0.99), "ms", 5),
        loads.row(f"{name}, slowest", lambda load: load.percentile(1.0), "ms", 5),
    ]


async def live_memory(bench: Bench) -> list[Row]:
    """Each with a turn under way and one client, which has seen all of it."""
    stock = None
    if bench.floor is not None:  # another one: what earlier rows needed would be there already
        async with floor_server(bench.http) as floor:
            before = floor.memory()
            stock = await _memory_with(floor, _stock_job(floor, "connects", LIVE, 0.0)) - before
    async with bench.server() as ours:
        for count in (AT_ONCE, LIVE):  # the first fills pools and caches
            before = ours.memory()
            conversations = await held(bench, ours, count)
            grown = await _memory_with(ours, our_job(ours, "connects", conversations, 0.0)) - before
    stock_each = None if stock is None else stock * 1024 / LIVE
    return [Row("memory of a live conversation with one client", grown * 1024 / LIVE, "KB", 100, stock_each)]


async def waves(bench: Bench) -> list[Row]:
    """What is left in memory of clients that have come and gone, and how long the collector of garbage stops all."""
    stock, stock_pause = None, None
    with tempfile.TemporaryDirectory(prefix="ohs-bench-pauses-") as folder:
        pauses = Path(folder, "pauses")
        if bench.floor is not None:
            async with floor_server(bench.http, pauses) as floor:
                stock = await _memory_after(floor, _stock_job(floor, "waves", WAVE, 0.0))
            stock_pause = float(pauses.read_text()) * 1e3
        async with bench.server(pauses=pauses) as ours:
            conversations = await held(bench, ours, TALKS)
            job = our_job(ours, "waves", conversations * (WAVE // TALKS), 0.0)
            memory = await _memory_after(ours, job)
        pause = float(pauses.read_text()) * 1e3
    return [
        Row(f"memory after {WAVES} waves of {WAVE:,} clients", memory, "MB", 160, stock),
        Row("the garbage collector's longest pause meanwhile", pause, "ms", 50, stock_pause),
    ]


async def _memory_after(server: Running, job: Job) -> float:
    """MB of a server whose clients have left."""
    await _run(server, job)
    await asyncio.sleep(SETTLED)
    return server.memory()


async def _memory_with(server: Running, job: Job) -> float:
    """MB of a server with the clients of a job."""
    clients = await asyncio.to_thread(open_clients, job)
    await asyncio.sleep(SETTLED)
    memory = server.memory()
    for client in clients:
        client.close()
    return memory


class LoadProcess:
    """A load generator whose clients are connected."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, job: Job) -> Self:
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, "-m", "tests.bench.load")
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=1 << 20)
        started = cls(process)
        started._tell(json.dumps(asdict(job)))
        if await started._line() != b"ready\n":
            raise RuntimeError(f"the load generator failed at {job.scenario}")
        return started

    async def run(self) -> Result:
        """The scenario, to its end. The clients stay until `end`."""
        self._tell("run")
        return Result(**json.loads(await self._line()))

    async def end(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")

    async def _line(self) -> bytes:
        assert self._process.stdout is not None
        return await self._process.stdout.readline()


async def _run(server: Running, job: Job) -> Load:
    generator = await LoadProcess.start(job)
    before = server.cpu()
    result = await generator.run()
    cpu = server.cpu() - before
    await generator.end()
    return Load(result, cpu)


async def _loads(bench: Bench, scenario: str, *, clients: int, conversations: int, seconds: float) -> Loads:
    stock, raw = None, None
    if bench.floor is not None:
        raw = await _run(bench.floor, _raw_job(bench.floor, scenario, clients, seconds))
        stock = await _run(bench.floor, _stock_job(bench.floor, scenario, clients, seconds))
    async with bench.server() as ours:
        busy = await held(bench, ours, conversations)
        job = our_job(ours, scenario, busy * (clients // conversations), seconds)
        return Loads(await _run(ours, job), stock, raw)


def _raw_job(server: Running, scenario: str, clients: int, seconds: float) -> Job:
    return Job(
        scenario=scenario,
        port=server.port,
        path="/raw/all" if scenario == "fan_out" else "/raw/echo",
        connects=[""] * clients,
        accepted="hello",
        message=FRAME,
        seconds=seconds,
    )


def _stock_job(server: Running, scenario: str, clients: int, seconds: float) -> Job:
    to_all = scenario == "fan_out"
    return Job(
        scenario=scenario,
        port=server.port,
        path=SOCKET_IO,
        connects=["40"] * clients,
        accepted="40",
        join=JOIN if to_all else "",
        message=f'42["{"tell" if to_all else "echo"}",{{"text":"{FRAME}"}}]',
        seconds=seconds,
    )


def our_job(server: Running, scenario: str, conversations: Sequence[str], seconds: float) -> Job:
    return Job(
        scenario=scenario,
        port=server.port,
        path=SOCKET_IO,
        connects=["40" + json.dumps(measures.protocol_2(conversation)) for conversation in conversations],
        accepted='42["hello"',
        message=MESSAGE,
        seconds=seconds,
    )


async def held(bench: Bench, server: Running, count: int) -> list[str]:
    """New conversations whose turns wait for the model."""
    conversations: list[str] = []
    while (missing := count - len(conversations)) > 0:
        made = (measures.held(bench.http, server.port) for _ in range(min(missing, AT_ONCE)))
        conversations += await asyncio.gather(*made)
    return conversations
