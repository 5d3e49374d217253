"""What is measured. Each function gives seconds, or what its name says."""

import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import socketio

from openhands_sessions.adapters.stores.sqlite import open_sqlite
from openhands_sessions.core.events.event import Source
from openhands_sessions.core.events.observations import RunObservation
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId
from openhands_sessions.ports.store import ConversationRow
from openhands_sessions.session.event_stream import EventStream
from openhands_sessions.session.feed import Feed
from tests.bench.client import RawClient, connected

REPLAYS = 40
NEWEST = '"id":{id},'


def protocol_2(conversation: str, after: int = -1) -> dict[str, object]:
    return {"protocol": 2, "conversation_id": conversation, "after": after}


def percentile(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


async def created(http: aiohttp.ClientSession, port: int, message: str | None = None) -> str:
    body = {} if message is None else {"initial_user_msg": message}
    async with http.post(f"http://127.0.0.1:{port}/api/conversations", json=body) as response:
        return str((await response.json())["conversation_id"])


async def bare_echo(http: aiohttp.ClientSession, port: int, count: int) -> list[float]:
    """Round trips of a 1 KB payload through the floor."""
    async with connected(http, port, {}) as client:
        return [
            await client.round_trip("echo", {"n": number, "text": "x" * 1_000}, f'"n":{number},')
            for number in range(count)
        ]


async def durable_echo(http: aiohttp.ClientSession, port: int, count: int) -> list[float]:
    """From a user's message of 1 KB to its own event, stored; the agent is held by its model."""
    conversation = await created(http, port)
    async with connected(http, port, {}, protocol_2(conversation)) as client:
        await _held(client)
        return [await _echo(client, f"echo-{number}-") for number in range(count)]


async def client_echo(port: int, auth: dict[str, object], count: int, event: str, reply: str) -> list[float]:
    """The same, or the floor's echo, as the real python-socketio client sees it."""
    client = socketio.AsyncClient()
    arrived: asyncio.Queue[object] = asyncio.Queue(1)

    async def heard(data: dict[str, object]) -> None:
        if str(data.get("message", "")).startswith("echo-"):
            await arrived.put(data)

    client.on(reply, heard)
    await client.connect(f"http://127.0.0.1:{port}", transports=["websocket"], auth=auth)
    times = []
    for number in range(count):
        text = f"echo-{number}-" + "x" * 900
        begun = time.perf_counter()
        message = {"action": "message", "message": text, "args": {"content": text}}
        await client.emit(event, message)
        await arrived.get()
        times.append(time.perf_counter() - begun)
    await client.disconnect()
    return times


async def held(http: aiohttp.ClientSession, port: int) -> str:
    """A conversation whose turn runs and waits for its model."""
    conversation = await created(http, port)
    async with connected(http, port, {}, protocol_2(conversation)) as client:
        await _held(client)
    return conversation


async def _held(client: RawClient) -> None:
    await client.send("oh_user_action", {"action": "message", "args": {"content": "hold"}})
    await client.until('"agent_state":"running"')


async def _echo(client: RawClient, mark: str) -> float:
    message = {"action": "message", "args": {"content": mark + "x" * 900}}
    return await client.round_trip("oh_user_action", message, f'"message":"{mark}')


async def replay(http: aiohttp.ClientSession, port: int, conversation: str, count: int, protocol: int) -> float:
    """From the handshake to the last of `count` stored events."""
    begun = time.perf_counter()
    query = {} if protocol == 2 else {"conversation_id": conversation, "latest_event_id": "-1"}
    auth = protocol_2(conversation) if protocol == 2 else None
    async with connected(http, port, query, auth) as client:
        await client.until(NEWEST.format(id=count - 1))
        return time.perf_counter() - begun


async def reconnects(
    http: aiohttp.ClientSession, port: int, conversation: str, count: int, clients: int, protocol: int
) -> float:
    """`clients` at once, each to all of its `count` events."""
    begun = time.perf_counter()
    await asyncio.gather(*(replay(http, port, conversation, count, protocol) for _ in range(clients)))
    return time.perf_counter() - begun


async def others_during_replay(http: aiohttp.ClientSession, port: int, long: str, count: int) -> list[float]:
    """Round trips of one conversation while another one's events are replayed, over and over."""
    conversation = await created(http, port)
    times: list[float] = []
    reading = [sys.executable, "-m", "tests.bench.reader", str(port), long, str(count), str(REPLAYS)]
    async with connected(http, port, {}, protocol_2(conversation)) as client:
        await _held(client)
        reader = await asyncio.create_subprocess_exec(*reading)
        while reader.returncode is None:
            times.append(await _echo(client, f"other-{len(times)}-"))
            await asyncio.sleep(0.002)
        if await reader.wait() != 0:
            raise RuntimeError("the reader of the replays failed")
    return times


async def fan_out(http: aiohttp.ClientSession, port: int, clients: int, count: int) -> list[float]:
    """From one message to the last of `clients` that has its event."""
    conversation = await created(http, port)
    async with AsyncExitStack() as stack:
        joined = [
            await stack.enter_async_context(connected(http, port, {}, protocol_2(conversation))) for _ in range(clients)
        ]
        await _held(joined[0])
        await asyncio.gather(*(client.until('"agent_state":"running"') for client in joined[1:]))
        times = []
        for number in range(count):
            message = {"action": "message", "args": {"content": f"fan-{number}-" + "x" * 900}}
            begun = time.perf_counter()
            await joined[0].send("oh_user_action", message)
            await asyncio.gather(*(client.until(f'"message":"fan-{number}-') for client in joined))
            times.append(time.perf_counter() - begun)
        return times


async def bare_fan_out(http: aiohttp.ClientSession, port: int, clients: int, count: int) -> list[float]:
    """The same through the floor's room."""
    async with AsyncExitStack() as stack:
        joined = [await stack.enter_async_context(connected(http, port, {})) for _ in range(clients)]
        for client in joined:
            await client.send("join", {})
        times = []
        for number in range(count):
            begun = time.perf_counter()
            await joined[0].send("tell", {"n": number, "text": "x" * 1_000})
            await asyncio.gather(*(client.until(f'"n":{number},') for client in joined))
            times.append(time.perf_counter() - begun)
        return times


async def bare_flood(http: aiohttp.ClientSession, port: int, count: int) -> float:
    """`count` events of 1 KB, emitted one by one by the floor."""
    async with connected(http, port, {}) as client:
        begun = time.perf_counter()
        await client.send("flood", count)
        await client.until(f'"id":{count - 1},')
        return time.perf_counter() - begun


async def appends(folder: Path, conversations: int, each: int) -> float:
    """Durable appends a second, by so many event streams at once, each waiting for one before the next."""
    async with open_sqlite(folder / "appends.db") as store:
        moment = datetime.now(UTC)
        streams = []
        for number in range(conversations):
            sid = ConversationId(f"append-{number}")
            row = ConversationRow(id=sid, owner=LOCAL_OWNER, created_at=moment, updated_at=moment)
            await store.conversations.create(row)
            stream = EventStream(store.log(sid), Feed(store.log(sid)), lambda: datetime.now(UTC))
            await stream.load(await store.claim(sid), None)
            streams.append(stream)
        event = RunObservation(source=Source.AGENT, command="make", content="x" * 600)

        async def write(stream: EventStream) -> None:
            for _ in range(each):
                await stream.append(event)

        begun = time.perf_counter()
        await asyncio.gather(*(write(stream) for stream in streams))
        return conversations * each / (time.perf_counter() - begun)


def median(values: Sequence[float]) -> float:
    return statistics.median(values)
