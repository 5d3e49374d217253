"""The next ping of a connection, which is forgotten with it."""

import asyncio
import gc
from weakref import ref

from engineio.async_socket import AsyncSocket
from engineio.packet import PING

from openhands_sessions.server.sockets.pings import PingingServer


def engine_of(interval: float) -> AsyncSocket:
    server = PingingServer(async_mode="aiohttp", ping_interval=interval, ping_timeout=5, monitor_clients=False)
    return AsyncSocket(server, "one")


async def test_a_client_is_pinged_an_interval_after_each_pong() -> None:
    engine = engine_of(0.01)
    async with asyncio.timeout(20):
        for _ in range(3):
            engine.schedule_ping()
            assert engine.last_ping is None
            assert (await engine.queue.get()).packet_type == PING
            assert engine.last_ping is not None


async def test_a_connection_that_is_over_is_not_kept_for_its_next_ping() -> None:
    engine = engine_of(1_000)
    engine.schedule_ping()
    server, remembered = engine.server, ref(engine)
    gc.disable()
    try:
        server.forget(engine.sid)
        del engine
        assert remembered() is None
    finally:
        gc.enable()


async def test_a_closed_connection_is_not_pinged() -> None:
    engine = engine_of(0.0)
    engine.schedule_ping()
    engine.closed = True
    await asyncio.sleep(0.01)
    assert engine.queue.empty()


async def test_other_tasks_of_engine_io_are_tasks() -> None:
    ran = asyncio.Event()

    async def run() -> None:
        ran.set()

    async with asyncio.timeout(20):
        await engine_of(1).server.start_background_task(run)
    assert ran.is_set()
