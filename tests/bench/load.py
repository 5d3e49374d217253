"""A load generator in a process of its own. Reads a `Job` as JSON, connects its clients and prints "ready"; runs the
scenario when it reads another line, and prints a `Result` as JSON."""

import json
import select
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from tests.bench.wire import Wire, text_frame

EVENT = 1_000
"""A longer frame is an event or an echo."""
AT_ONCE = 20
"""Connections that are under way together."""
EVERY = 0.005
"""Seconds between two round trips of the bystander: so many that the store writes its log back meanwhile."""
WAVES = 12
QUIET = 0.5
"""Seconds without a frame after which everything is settled."""
READ_EVERY = 5.0
"""Seconds between two looks at those that are connected, while others still connect."""
SOURCE = "127.0.0.{}"
EACH_SOURCE = 2_000
"""Connections from one address: fewer than a system has ports for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """`connects` has one Socket.IO packet for each client; `accepted` begins the frame after which it is connected."""

    scenario: str
    port: int
    path: str
    connects: Sequence[str]
    accepted: str
    message: str
    seconds: float
    join: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """`count` of events delivered, round trips or connections; `times` of single round trips, in seconds."""

    count: int
    seconds: float
    times: Sequence[float] = ()


def fan_out(job: Job, wires: Sequence[Wire], poll: select.epoll) -> Result:
    """One event at a time to all clients."""
    message = text_frame(job.message)
    by_number = {wire.fileno(): wire for wire in wires}
    count, missing = 0, 0
    begun = time.perf_counter()
    while (elapsed := time.perf_counter() - begun) < job.seconds:
        wires[0].send(message)
        missing += len(wires)
        while missing > 0:
            for number, _ in poll.poll():
                missing -= _events(by_number[number])
        count += len(wires)
    return Result(count=count, seconds=elapsed)


def round_trips(job: Job, wires: Sequence[Wire], poll: select.epoll) -> Result:
    """Each client sends its next message as soon as it has the event of the last."""
    message = text_frame(job.message)
    by_number = {wire.fileno(): wire for wire in wires}
    for wire in wires:
        wire.send(message)
    count = 0
    begun = time.perf_counter()
    while (elapsed := time.perf_counter() - begun) < job.seconds:
        for number, _ in poll.poll():
            for _ in range(_events(by_number[number])):
                count += 1
                by_number[number].send(message)
    return Result(count=count, seconds=elapsed)


def writers(job: Job, wires: Sequence[Wire], poll: select.epoll) -> Result:
    """As `round_trips`, with the time of each."""
    message = text_frame(job.message)
    by_number = {wire.fileno(): wire for wire in wires}
    times: list[float] = []
    begun = time.perf_counter()
    sent = dict.fromkeys(by_number, begun)
    for wire in wires:
        wire.send(message)
    while (now := time.perf_counter()) - begun < job.seconds:
        for number, _ in poll.poll():
            if _events(by_number[number]):
                now = time.perf_counter()
                times.append(round(now - sent[number], 6))
                sent[number] = now
                by_number[number].send(message)
    return Result(count=len(times), seconds=now - begun, times=times)


def bystander(job: Job, wires: Sequence[Wire], poll: select.epoll) -> Result:
    """The first client makes a round trip now and then; the others are quiet."""
    message = text_frame(job.message)
    times = []
    ends = time.perf_counter() + job.seconds
    while (begun := time.perf_counter()) < ends:
        wires[0].send(message)
        while not _events(wires[0]):
            pass
        times.append(time.perf_counter() - begun)
        time.sleep(EVERY)
    return Result(count=len(times), seconds=job.seconds, times=times)


def connects(job: Job, wires: Sequence[Wire], poll: select.epoll) -> Result:
    """Clients that connect, and leave."""
    count = 0
    begun = time.perf_counter()
    while (elapsed := time.perf_counter() - begun) < job.seconds:
        for wire in _connected(job, [job.connects[0]] * AT_ONCE):
            wire.close()
        count += AT_ONCE
    return Result(count=count, seconds=elapsed)


def hold(job: Job, wires: Sequence[Wire], poll: select.epoll) -> Result:
    """Clients that are there, until the process ends."""
    return Result(count=len(wires), seconds=0.0)


def waves(job: Job, wires: Sequence[Wire], poll: select.epoll) -> Result:
    """All clients leave and come back, again and again."""
    begun = time.perf_counter()
    for number in range(1, WAVES):
        for wire in wires:
            wire.close()
        # Ports of an address can be used again only a while after their connections.
        wires = open_clients(job, address=1 + number)
    for wire in wires:
        wire.close()
    return Result(count=WAVES * len(wires), seconds=time.perf_counter() - begun)


SCENARIOS: Mapping[str, Callable[[Job, Sequence[Wire], select.epoll], Result]] = {
    scenario.__name__: scenario for scenario in (fan_out, round_trips, writers, bystander, connects, hold, waves)
}


def open_clients(job: Job, address: int = 1) -> list[Wire]:
    """All clients of a job, connected a few at a time, from the loopback address with this number on."""
    wires: list[Wire] = []
    read_at = time.monotonic()
    for place in range(0, len(job.connects), AT_ONCE):
        source = SOURCE.format(address + place // EACH_SOURCE)
        wires += _connected(job, job.connects[place : place + AT_ONCE], source)
        if time.monotonic() - read_at > READ_EVERY:  # the first ones are asked whether they live
            _settle(wires, within=0.0)
            read_at = time.monotonic()
    if job.join:
        for wire in wires:
            wire.send(text_frame(job.join))
    return wires


def _connected(job: Job, packets: Sequence[str], source: str = "127.0.0.1") -> list[Wire]:
    wires = [Wire(job.port, job.path, source) for _ in packets]
    if any(packets):
        for wire, packet in zip(wires, packets, strict=True):
            wire.wait_for(b"0")
            wire.send(text_frame(packet))
    for wire in wires:
        wire.wait_for(job.accepted.encode())
    return wires


def _events(wire: Wire) -> int:
    return sum(len(payload) > EVENT for payload in wire.read())


def _settle(wires: Sequence[Wire], within: float = QUIET) -> None:
    """Read until nothing comes for so long."""
    by_number = {wire.fileno(): wire for wire in wires}
    with select.epoll() as poll:
        for number in by_number:
            poll.register(number, select.EPOLLIN)
        while ready := poll.poll(within):
            for number, _ in ready:
                by_number[number].read()


def _main() -> None:
    job = Job(**json.loads(sys.stdin.readline()))
    wires = open_clients(job)
    poll = select.epoll()
    for wire in wires:
        poll.register(wire.fileno(), select.EPOLLIN)
    _settle(wires)
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(asdict(SCENARIOS[job.scenario](job, wires, poll))), flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    _main()
