"""What the web client waits for: a new conversation, an answer, a list, an old conversation, an export."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from openhands_sessions.adapters.models.litellm_library import LiteLlmLibrary
from tests.bench import measures
from tests.bench.bench import Bench
from tests.bench.client import connected
from tests.bench.filling import crowd, fill
from tests.bench.measures import median
from tests.bench.servers import Running, environment, our_server
from tests.bench.table import Row
from tests.support.model_server import MODEL, ModelServer, model_server
from tests.support.processes import peak_memory, restarted_peak

LONG, SHORT, MANY = 10_000, 1_000, 10_000
ROUNDS = 30
FEW_ROUNDS = 10
READY_FOR = 6.0
KEY = "sk-bench"
PEACE = '"agent_state":"awaiting_user_input"'


async def rows(bench: Bench) -> list[Row]:
    http = bench.http
    async with bench.data_dir() as folder:
        await fill(bench, folder, {"long": LONG, "short": SHORT})
        await crowd(folder / "sessions.db", MANY)
        async with model_server() as model, our_server(http, folder, _settings(model), profile=bench.profile) as ours:
            return [
                await _created(http, ours),
                await _answered(http, ours, model),
                await _listed(http, ours),
                await _reopened(http, ours),
                *await _exported(http, ours),
            ]


async def first(bench: Bench) -> list[Row]:
    """The first conversation with a model of a provider, some time after the start; and how long others wait
    meanwhile."""
    http = bench.http
    compiling = ("-c", "from openhands_sessions.adapters.models.litellm_library import LiteLlmLibrary as l; l.load()")
    process = await asyncio.create_subprocess_exec(sys.executable, *compiling, env=environment({}), cwd=bench.code)
    await process.wait()
    async with (
        bench.data_dir() as folder,
        model_server() as model,
        our_server(http, folder, _settings(model), code=bench.code) as ours,
    ):
        waits = []
        until = time.perf_counter() + READY_FOR
        while (begun := time.perf_counter()) < until:
            async with http.get(f"http://127.0.0.1:{ours.port}/alive"):
                waits.append(time.perf_counter() - begun)
            await asyncio.sleep(0.005)
        begun = time.perf_counter()
        async with _talking(http, ours.port) as client:
            message = {"action": "message", "args": {"content": "hello"}}
            await client.round_trip("oh_user_action", message, '"message":"You said: hello"')
        return [
            Row(f"first conversation, {READY_FOR:.0f} s after ready", time.perf_counter() - begun, "s", 1.5),
            Row("longest wait before, in which the model's library is loaded", max(waits) * 1e3, "ms", 200),
        ]


def _settings(model: ModelServer) -> Mapping[str, str]:
    return {
        "OHS_LLM__MODEL": f"openai/{MODEL}",
        "OHS_LLM__BASE_URL": model.url,
        "OHS_LLM__API_KEY": KEY,
        "OHS_LIMITS__MESSAGES_PER_SECOND": "1000",
    }


async def _created(http: aiohttp.ClientSession, ours: Running) -> Row:
    """As the web client does it: create, look until it runs, open the socket, wait for a state."""
    await _created_once(http, ours.port)
    times = [await _created_once(http, ours.port) for _ in range(ROUNDS)]
    return Row("create to its first state, p50", median(times) * 1e3, "ms", 30)


async def _created_once(http: aiohttp.ClientSession, port: int) -> float:
    begun = time.perf_counter()
    sid = await measures.created(http, port)
    url = f"http://127.0.0.1:{port}/api/conversations/{sid}"
    status = ""
    while status != "RUNNING":
        async with http.get(url) as response:
            status = (await response.json())["status"]
    async with connected(http, port, {"conversation_id": sid, "latest_event_id": "-1"}) as client:
        await client.until('"agent_state":')
        return time.perf_counter() - begun


async def _answered(http: aiohttp.ClientSession, ours: Running, model: ModelServer) -> Row:
    """From a message to the agent's first action, less the same request by litellm alone, right afterwards."""
    library = LiteLlmLibrary.load()
    differences, floors = [], []
    try:
        async with _talking(http, ours.port) as client:
            for number in range(ROUNDS + 3):
                message = {"action": "message", "args": {"content": f"hello {number}"}}
                whole = await client.round_trip("oh_user_action", message, f'"message":"You said: hello {number}"')
                await client.until(PEACE)
                floor = await _by_litellm(library, model)
                if number >= 3:  # the first ones warm up
                    differences.append(whole - floor)
                    floors.append(floor)
    finally:
        await library.close()
    return Row(
        "message to first action, over litellm, p50", median(differences) * 1e3, "ms", 10, floor=median(floors) * 1e3
    )


@asynccontextmanager
async def _talking(http: aiohttp.ClientSession, port: int) -> AsyncIterator[Any]:
    sid = await measures.created(http, port)
    async with connected(http, port, {"conversation_id": sid, "latest_event_id": "-1"}) as client:
        await client.until(PEACE)
        yield client


async def _by_litellm(library: LiteLlmLibrary, model: ModelServer) -> float:
    """Seconds for the newest request, made again with nothing of ours."""
    body = model.requests[-1].body
    asked = {"model": f"openai/{MODEL}", "base_url": model.url, "api_key": KEY, "timeout": 60}
    begun = time.perf_counter()
    stream = await library.stream(
        {**asked, "messages": list(body["messages"]), "tools": list(body["tools"])}, lambda lines: lines
    )
    async for _ in stream:
        pass
    return time.perf_counter() - begun


async def _listed(http: aiohttp.ClientSession, ours: Running) -> Row:
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        async with http.get(f"http://127.0.0.1:{ours.port}/api/conversations", params={"limit": "50"}) as response:
            page = await response.json()
        times.append(time.perf_counter() - begun)
        assert len(page["results"]) == 50
    return Row(f"list of 50 of {MANY:,} conversations, p50", median(times) * 1e3, "ms", 10)


async def _reopened(http: aiohttp.ClientSession, ours: Running) -> Row:
    url = f"http://127.0.0.1:{ours.port}/api/conversations/short"
    times = []
    for _ in range(FEW_ROUNDS):
        async with http.post(f"{url}/stop") as response:
            assert response.status == 200
        async with http.get(url) as response:
            count = (await response.json())["session"]["head"] + 1
        times.append(await measures.replay(http, ours.port, "short", count, protocol=1))
    assert count >= SHORT
    return Row("a stopped conversation of 1,000 events, p50", median(times) * 1e3, "ms", 40)


async def _exported(http: aiohttp.ClientSession, ours: Running) -> list[Row]:
    url = f"http://127.0.0.1:{ours.port}/api/conversations/long/trajectory"
    times, size = [], 0
    before = restarted_peak(ours.pid)
    for _ in range(FEW_ROUNDS):
        begun = time.perf_counter()
        async with http.get(url) as response:
            size = sum([len(chunk) async for chunk in response.content.iter_any()])
        times.append(time.perf_counter() - begun)
    assert size > LONG * 600
    return [
        Row("trajectory of 10,000 events, p50", median(times) * 1e3, "ms", 300),
        Row("memory that it took", (peak_memory(ours.pid) - before) / 1e6, "MB", 5),
    ]
