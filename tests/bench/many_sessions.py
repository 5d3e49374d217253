"""Ten thousand sessions that are live, and idle, in one process."""

import asyncio
from collections.abc import Sequence

from tests.bench import measures
from tests.bench.bench import Bench
from tests.bench.loads import LoadProcess, our_job
from tests.bench.servers import Running
from tests.bench.table import Row

LIVE = 10_000
TURNS = 3
"""Of each; they make some 20 events."""
AT_ONCE = 40
WARM = 200
"""Sessions that fill pools and caches first."""
RESTED = 60.0
"""Seconds after which memory is read."""
SCRIPT = """\
name: short
replies:
  - steps:
      - say: "done"
"""


async def many_sessions(bench: Bench) -> list[Row]:
    """Each with a few turns behind it and one client that follows. The memory of a server with them, less that of one
    with a few that are gone through the same."""
    settings = {"OHS_LLM__MODEL": "scripted:short", "OHS_SERVER__MAX_SESSIONS": str(LIVE + WARM + 1)}
    async with bench.data_dir() as folder:
        (folder / "scripts" / "short.yaml").write_text(SCRIPT)
        async with bench.server(folder, settings=settings) as ours:
            followers = [await LoadProcess.start(our_job(ours, "hold", await _talked(bench, ours, WARM), 0.0))]
            before, threads = ours.memory(), ours.threads()
            followers.append(await LoadProcess.start(our_job(ours, "hold", await _talked(bench, ours, LIVE), 0.0)))
            await asyncio.sleep(RESTED)
            each = (ours.memory() - before) * 1024 / LIVE
            more = ours.threads() - threads
            used = ours.cpu()
            await asyncio.sleep(RESTED / 6)
            share = (ours.cpu() - used) / (RESTED / 6) * 100
            events, live = await _found(bench, ours)
            echoes = await measures.durable_echo(bench.http, ours.port, 200)
            for one in followers:
                await one.end()
    return [
        Row(f"memory of one of 10,000 live, idle sessions, {events} events, one client", each, "KB", 100),
        Row("the same, live after a minute", live, "", LIVE, most=False),
        Row("the same, threads more", more, "", 0),
        Row("the same, of one processor while nothing happens", share, "%", 10),
        Row("the same, another's message to its durable echo, p50", measures.median(echoes) * 1e3, "ms", 5),
    ]


async def _talked(bench: Bench, server: Running, count: int) -> Sequence[str]:
    """New conversations of so many events, each with a turn for every message."""
    waiting = iter(range(count))
    made: list[str] = []

    async def worker() -> None:
        for _ in waiting:
            made.append(await _one(bench, server))

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return made


async def _one(bench: Bench, server: Running) -> str:
    sid = await measures.created(bench.http, server.port)
    url = f"http://127.0.0.1:{server.port}/api/conversations/{sid}/messages"
    for _ in range(TURNS):
        async with bench.http.post(url, params={"stream": "true"}, json={"content": "go on"}) as answer:
            answer.raise_for_status()
            await answer.read()  # it ends with the turn
    return sid


async def _found(bench: Bench, server: Running) -> tuple[int, int]:
    """Events of the newest conversation, and how many sessions are live."""
    base = f"http://127.0.0.1:{server.port}"
    async with bench.http.get(f"{base}/api/conversations", params={"limit": "1"}) as answer:
        newest = (await answer.json())["results"][0]["conversation_id"]
    async with bench.http.get(f"{base}/api/conversations/{newest}") as answer:
        head = (await answer.json())["session"]["head"]
    async with bench.http.get(f"{base}/server_info") as answer:
        return head + 1, (await answer.json())["sessions"]
