"""Memory under mixed traffic: what conversations needed is there for the next ones."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from statistics import linear_regression

import pytest

from openhands_sessions.adapters.runtimes.executor_client.connection import ExecutorConnection
from openhands_sessions.adapters.runtimes.executor_client.runtime import ExecutorRuntime
from openhands_sessions.config.config import Config
from openhands_sessions.server.web_session import WebSession
from openhands_sessions.session.agent_session import AgentSession
from openhands_sessions.session.command_loop import CommandLoop
from openhands_sessions.session.event_stream import EventStream
from openhands_sessions.session.feed import Feed
from tests.support.in_process_server import in_process_server
from tests.support.mixed_traffic import MixedTraffic, mixed_traffic
from tests.support.running_server import Server, running_server
from tests.support.session_harness import our_tasks
from tests.support.watched_objects import WatchedObjects, no_collector

SETTINGS = {"OHS_LOG__LEVEL": "error", "OHS_LIMITS__MESSAGES_PER_SECOND": "1000"}
SOAK = 600.0
"""Seconds."""
WARM = 1_500
"""Lives until the server has all that it keeps: a busy machine takes longer for them."""
EVERY = 1.0
SLOPE = 0.5
"""MB a minute."""
LIVES = 12
FREED = (AgentSession, CommandLoop, EventStream, Feed, WebSession, ExecutorRuntime, ExecutorConnection)


@pytest.fixture
async def traffic(data_dir: Path) -> AsyncIterator[tuple[Server, MixedTraffic]]:
    async with running_server(data_dir, SETTINGS) as server, mixed_traffic(server.url) as traffic:
        yield server, traffic


@pytest.mark.long
@pytest.mark.beside
@pytest.mark.timeout(900)
async def test_memory_does_not_grow_with_time(traffic: tuple[Server, MixedTraffic]) -> None:
    server, visitors = traffic
    samples: list[tuple[float, float]] = []
    begun = time.monotonic()
    running = asyncio.create_task(visitors.run())
    while (elapsed := time.monotonic() - begun) < SOAK and not running.done():
        if visitors.lives >= WARM:
            samples.append((elapsed, server.memory()))
        await asyncio.sleep(EVERY)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    slope = slope_of(samples)
    print(f"{slope:.2f} MB a minute after {WARM} lives, {samples[-1][1]:.0f} MB, {visitors.lives} lives")
    assert slope <= SLOPE


@pytest.mark.slow
async def test_nothing_lives_on_of_conversations_that_are_deleted(data_dir: Path) -> None:
    async with in_process_server(Config(data_dir=data_dir)) as server, mixed_traffic(server.url) as visitors:
        await visitors.run(2)  # what is made once for all conversations
        before = our_tasks()
        with no_collector():
            await visitors.run(LIVES)
            await WatchedObjects(*FREED).freed()
        assert server.house.sessions.live_sessions == 0
        assert our_tasks() <= before


def slope_of(samples: Sequence[tuple[float, float]]) -> float:
    """By least squares, of seconds and MB in MB a minute."""
    seconds, megabytes = zip(*samples, strict=True)
    return linear_regression(seconds, megabytes).slope * 60
