"""The list of another server: connections that break, servers that go and come back, or do not."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from openhands_sessions.adapters.gateways.remote import open_remote
from openhands_sessions.config.config import Config, ServerSection
from openhands_sessions.core.errors import Unauthorized, Unreachable
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.gateway import SessionSpec
from tests.support.in_process_server import InProcessServer, in_process_server
from tests.support.list_reader import ListReader, reading_list
from tests.support.proxy import Proxy, proxy

SID = ConversationId("talk")


@asynccontextmanager
async def far_list(server: InProcessServer, *, patience: float = 10.0) -> AsyncIterator[tuple[Proxy, ListReader]]:
    """A line to the server that breaks when told, and what is read of the list at its end."""
    async with (
        proxy(server.port) as line,
        open_remote(line.url, None, patience=patience) as remote,
        reading_list(remote.conversations) as reader,
    ):
        yield line, reader


async def test_after_a_break_the_list_goes_on_with_a_snapshot(data_dir: Path) -> None:
    async with in_process_server(Config(data_dir=data_dir)) as server, far_list(server) as (line, reader):
        for count in (2, 3):
            line.cut()
            await reader.until_snapshots(count)
        conversations = server.house.local.conversations
        await server.house.local.gateway.open(SessionSpec(id=SID, create=True))
        await conversations.rename(SID, "New")
        await reader.until(lambda: SID in reader.rows and reader.rows[SID].title == "New")


async def test_a_server_that_comes_back_is_followed_again(data_dir: Path) -> None:
    config = Config(data_dir=data_dir)
    async with AsyncExitStack() as stack:
        async with in_process_server(config) as server:
            await server.house.local.gateway.open(SessionSpec(id=SID, create=True, title="Mine"))
            remote = await stack.enter_async_context(open_remote(server.url, None, patience=30.0))
            reader = await stack.enter_async_context(reading_list(remote.conversations))
        async with in_process_server(config, server.port):
            await reader.until_snapshots(2)
            assert reader.rows[SID].title == "Mine"


async def test_a_server_that_stays_away_is_given_up(data_dir: Path) -> None:
    config = Config(data_dir=data_dir)
    async with in_process_server(config) as server, far_list(server, patience=1.0) as (line, reader):
        await line.close()
        with pytest.raises(Unreachable, match="has not answered for 1 s"):
            await reader.until(lambda: False)


async def test_a_refusal_is_the_servers_own(data_dir: Path) -> None:
    section = ServerSection(session_api_key=SecretStr("right"))
    config = Config(data_dir=data_dir, server=section)
    async with in_process_server(config) as server, open_remote(server.url, "wrong") as remote:
        with pytest.raises(Unauthorized):
            async with remote.conversations.follow_list():
                pass


async def test_where_there_is_no_server_the_list_is_unreachable() -> None:
    async with open_remote("http://127.0.0.1:9", None) as remote:
        with pytest.raises(Unreachable):
            async with remote.conversations.follow_list():
                pass
