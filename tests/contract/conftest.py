"""The kinds that each contract is held against. A new kind is one more parameter."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext, suppress
from functools import partial
from pathlib import Path

import pytest

from openhands_sessions.adapters.gateways.remote import open_remote
from openhands_sessions.adapters.runtimes.local.runtimes import LocalLimits, LocalRuntimes
from openhands_sessions.adapters.stores.leases import Holder
from openhands_sessions.adapters.stores.sqlite import open_sqlite
from openhands_sessions.bootstrap.application import open_application
from openhands_sessions.config.config import Config
from openhands_sessions.config.lists import QuotaSection
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.ports.runtime import Runtime, Runtimes
from openhands_sessions.ports.store import EventLog, SessionStore
from tests.fakes.memory_data import MemoryData
from tests.fakes.memory_store import open_memory
from tests.fakes.runtime import FakeRuntimes
from tests.support.docker_engine import Engine
from tests.support.docker_far import far
from tests.support.docker_sandboxes import docker_runtimes
from tests.support.gateway_kinds import Kind
from tests.support.in_process_server import in_process_server
from tests.support.running_server import discard_sandboxes
from tests.support.sandboxes import CAP, FLOOD, FLOODED, SID, opened
from tests.support.store_damage import Damage, damage_database
from tests.support.store_entries import OTHER, TALK, TTL, OpenStore, TestClock, row


@pytest.fixture
def clock() -> TestClock:
    """That of every store's leases."""
    return TestClock()


@pytest.fixture
def memory_data() -> MemoryData:
    """What all stores in memory of a test share."""
    return MemoryData()


@pytest.fixture
def damage(request: pytest.FixtureRequest, open_store: OpenStore, memory_data: MemoryData, tmp_path: Path) -> Damage:
    """Damages events of a conversation, or without any its row and snapshots, behind the back of the stores."""
    if request.node.callspec.params["open_store"] == "memory":
        return memory_data.damage
    return partial(damage_database, tmp_path / "sessions.db")


@pytest.fixture(params=["memory", "sqlite"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path, clock: TestClock, memory_data: MemoryData) -> OpenStore:
    """Opens one more store over the same data with each call."""

    def opened() -> AbstractAsyncContextManager[SessionStore]:
        holder = Holder(node="here", ttl=TTL, clock=clock)
        if request.param == "memory":
            return open_memory(memory_data, holder)
        return open_sqlite(tmp_path / "sessions.db", holder)

    return opened


@pytest.fixture
async def store(open_store: OpenStore) -> AsyncIterator[SessionStore]:
    """With the conversations TALK and OTHER in it."""
    async with open_store() as store:
        await store.conversations.create(row(TALK))
        await store.conversations.create(row(OTHER))
        yield store


@pytest.fixture
def log(store: SessionStore) -> EventLog:
    """That of TALK."""
    return store.log(TALK)


@pytest.fixture(params=["fake", "local", "docker", pytest.param("docker far away", marks=pytest.mark.long)])
async def runtimes(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Runtimes]:
    """That the sandbox of SID is discarded afterwards ends what a test left running."""
    async with AsyncExitStack() as stack:
        runtimes = await stack.enter_async_context(_runtimes(request, tmp_path / "sandboxes"))
        stack.push_async_callback(runtimes.discard, SID)
        await stack.enter_async_context(asyncio.timeout(20))
        yield runtimes


@pytest.fixture(scope="session")
def far_engine(docker_engine: Engine) -> Iterator[Engine]:
    with far(docker_engine) as engine:
        yield engine


def _runtimes(request: pytest.FixtureRequest, folder: Path) -> AbstractAsyncContextManager[Runtimes]:
    if request.param == "docker far away":
        return docker_runtimes(request.getfixturevalue("far_engine"), folder)
    if request.param == "docker":
        return docker_runtimes(request.getfixturevalue("docker_engine"), folder)
    if request.param == "local":
        limits = LocalLimits(output_head=CAP, output_tail=CAP, idle_timeout=60)
        return nullcontext(LocalRuntimes(folder, limits=limits))
    return nullcontext(FakeRuntimes({FLOOD: (FLOODED, 0)}, cap=CAP))


@pytest.fixture
async def runtime(runtimes: Runtimes) -> AsyncIterator[Runtime]:
    async with opened(runtimes) as runtime:
        yield runtime


@pytest.fixture(params=["local", "remote"])
async def kind(request: pytest.FixtureRequest, data_dir: Path) -> AsyncIterator[Kind]:
    quota = QuotaSection(models="scripted:*", tokens=1_000_000, conversations=9)
    config = Config(data_dir=data_dir, quotas=(quota,))
    if request.param == "local":
        async with open_application(config) as house:
            local = house.local
            yield Kind(local.gateway, local.conversations, local.usage, local.sharing, local.states, house)
    else:
        async with in_process_server(config) as server, open_remote(server.url, None) as remote:
            yield Kind(remote.gateway, remote.conversations, remote.usage, remote.sharing, remote.states, server.house)
    with suppress(RuntimeUnavailable):  # a test may have spoilt the folder: then nothing runs in it
        await discard_sandboxes(data_dir)
