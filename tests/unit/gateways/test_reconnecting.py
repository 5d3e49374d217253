"""A server far away: connections that break, servers that restart, hang, or are none of ours."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from openhands_sessions.adapters.gateways import connection as links
from openhands_sessions.adapters.gateways.reading import UnreadableMessage
from openhands_sessions.adapters.gateways.remote import open_remote
from openhands_sessions.adapters.gateways.rest import ServerAddress
from openhands_sessions.config.config import Config
from openhands_sessions.core.commands import SendMessage, Stop
from openhands_sessions.core.errors import BadInput, NotFound, TooLarge, Unauthorized, Unreachable
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.access import Access
from openhands_sessions.ports.gateway import Delta, FeedItem, Gateway, SessionClosed, SessionEnded, SessionSpec, Status
from openhands_sessions.server.app import listening
from tests.support.in_process_server import (
    InProcessServer,
    following,
    in_process_server,
    numbered,
    read,
    state,
    turn_ends,
)
from tests.support.proxy import Proxy, proxy

SID = ConversationId("talk")
IDLE = state("awaiting_user_input")
TURNS = 20


async def new(gateway: Gateway) -> None:
    await gateway.open(SessionSpec(id=SID, create=True))
    await read(gateway, SID, -1, IDLE)


@asynccontextmanager
async def broken_line(
    data_dir: Path, *, patience: float = 10.0
) -> AsyncIterator[tuple[InProcessServer, Proxy, Access]]:
    """A server, a line to it that breaks when told, and the remote at its end."""
    async with (
        in_process_server(Config(data_dir=data_dir)) as server,
        proxy(server.port) as line,
        open_remote(line.url, None, patience=patience) as remote,
    ):
        yield server, line, remote


class Ear:
    """What one follower gets; lets a test wait for an event."""

    def __init__(self) -> None:
        self.got: list[Stored] = []
        self._news = asyncio.Event()

    async def listen(self, news: AsyncIterator[FeedItem], last: "asyncio.Future[int]") -> None:
        async for item in news:
            self.got += [] if isinstance(item, Delta | Status | SessionClosed) else item
            self._news.set()
            if last.done() and self.got[-1].id >= last.result():
                return

    async def hears(self, event: int) -> None:
        while not self.got or self.got[-1].id < event:
            self._news.clear()
            await self._news.wait()


@pytest.mark.slow
async def test_a_follower_misses_nothing_and_repeats_nothing_over_broken_connections(data_dir: Path) -> None:
    chance = random.Random(7)
    async with broken_line(data_dir) as (server, line, remote):
        here, ear = server.house.local.gateway, Ear()
        last: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        await new(here)
        async with asyncio.timeout(30), remote.gateway.follow(SID, -1) as news, asyncio.TaskGroup() as tasks:
            tasks.create_task(ear.listen(news, last))
            for number in range(TURNS):
                said = (await here.submit(SID, SendMessage(content=f"message {number}"))).id
                if number % 2:
                    line.cut_after(chance.randrange(1, 3_000))  # of the next connection, in its replay
                line.cut()
                await read(here, SID, said, turn_ends)
                await ear.hears(said)
            last.set_result((await here.submit(SID, SendMessage(content="the last one"))).id)
        assert line.cuts >= TURNS
        assert ear.got == (await read(here, SID, -1, numbered(ear.got[-1].id)))


async def test_a_command_that_a_broken_connection_swallowed_is_carried_out_once(data_dir: Path) -> None:
    async with broken_line(data_dir) as (server, line, remote):
        await new(server.house.local.gateway)
        async with asyncio.timeout(20), remote.gateway.follow(SID, -1) as news, asyncio.TaskGroup() as tasks:
            end: asyncio.Event = asyncio.Event()
            tasks.create_task(drain(news, end))
            answers = []
            for number in range(10):
                sending = tasks.create_task(remote.gateway.submit(SID, SendMessage(content=f"message {number}")))
                await asyncio.sleep(0)
                line.cut()
                answers.append((await sending).id)
            end.set()
            await server.house.local.gateway.submit(SID, Stop())
        log = await read(server.house.local.gateway, SID, -1, numbered(answers[-1]))
        said = [entry.id for entry in log if entry.kind == "action:message" and '"source":"user"' in entry.text]
        assert said == answers


async def drain(news: AsyncIterator[FeedItem], end: asyncio.Event) -> None:
    async for _ in news:
        if end.is_set():
            return


async def test_the_end_of_a_connection_and_its_return_are_told(data_dir: Path) -> None:
    async with broken_line(data_dir) as (server, line, remote):
        await new(server.house.local.gateway)
        async with asyncio.timeout(10), remote.gateway.follow(SID, -1) as news:
            await following(news, IDLE)
            line.cut()
            told = [item.id async for item in first(2, news) if isinstance(item, Status)]
    assert told == ["STATUS$RECONNECTING", "STATUS$RECONNECTED"]


async def first(count: int, news: AsyncIterator[FeedItem]) -> AsyncIterator[FeedItem]:
    for _ in range(count):
        yield await anext(news)


async def test_a_server_that_comes_back_is_followed_on(data_dir: Path, free_port: int) -> None:
    config = Config(data_dir=data_dir)
    async with open_remote(f"http://127.0.0.1:{free_port}", None) as remote, asyncio.timeout(20):
        async with in_process_server(config, free_port) as server:
            await new(remote.gateway)
            follow = remote.gateway.follow(SID, -1)
            news = await follow.__aenter__()
            seen = await following(news, IDLE)
        async with in_process_server(config, free_port) as server:
            said = await remote.gateway.submit(SID, SendMessage(content="are you back?"))
            seen += await following(news, turn_ends)
            assert seen == await read(server.house.local.gateway, SID, -1, numbered(seen[-1].id))
            assert said.id in [entry.id for entry in seen]
            await follow.__aexit__(None, None, None)


async def test_a_conversation_deleted_while_the_connection_was_broken_has_ended(data_dir: Path) -> None:
    async with broken_line(data_dir) as (server, line, remote):
        await new(server.house.local.gateway)
        async with asyncio.timeout(10), remote.gateway.follow(SID, -1) as news:
            await following(news, IDLE)
            line.cut()
            await server.house.local.conversations.delete(SID)
            with pytest.raises(SessionEnded, match="deleted"):
                await following(news, turn_ends)


async def test_a_server_that_stays_away_is_given_up(data_dir: Path) -> None:
    async with open_remote("http://127.0.0.1:9", None, patience=0.3) as remote, asyncio.timeout(10):
        with pytest.raises(Unreachable, match="cannot be reached: Connect"):
            await remote.gateway.describe(SID)
        with pytest.raises(Unreachable, match="does not answer"):
            await remote.gateway.submit(SID, Stop())


async def test_a_follower_gives_up_after_its_patience(data_dir: Path) -> None:
    async with asyncio.timeout(15), AsyncExitStack() as servers:
        server = await servers.enter_async_context(in_process_server(Config(data_dir=data_dir)))
        async with open_remote(server.url, None, patience=0.3) as remote:
            await new(remote.gateway)
            async with remote.gateway.follow(SID, -1) as news:
                await following(news, IDLE)
                await servers.aclose()
                with pytest.raises(Unreachable, match="has not answered"):
                    await following(news, turn_ends)


async def test_a_wrong_key_is_told(data_dir: Path) -> None:
    config = Config(data_dir=data_dir, server={"session_api_key": "open sesame"})
    async with in_process_server(config) as server, open_remote(server.url, "sesame") as remote, asyncio.timeout(10):
        with pytest.raises(Unauthorized):
            await remote.gateway.describe(SID)
        with pytest.raises(Unauthorized):
            async with remote.gateway.follow(SID, -1):
                pass
    async with (
        in_process_server(config) as server,
        open_remote(server.url, "open sesame") as remote,
        asyncio.timeout(10),
    ):
        await new(remote.gateway)


async def test_a_message_over_the_servers_limit_is_refused_here(data_dir: Path) -> None:
    config = Config(data_dir=data_dir, limits={"message_bytes": 2_000})
    async with in_process_server(config) as server, open_remote(server.url, None) as remote, asyncio.timeout(10):
        await new(remote.gateway)
        with pytest.raises(TooLarge, match="2000 bytes"):
            await remote.gateway.submit(SID, SendMessage(content="x" * 2_000))


async def test_a_message_larger_than_libraries_read_by_default_goes_and_comes_back(data_dir: Path) -> None:
    async with in_process_server(Config(data_dir=data_dir)) as server, open_remote(server.url, None) as remote:
        await new(remote.gateway)
        name = "x" * (5 * 1024 * 1024)
        async with asyncio.timeout(60):
            said = (await remote.gateway.submit(SID, SendMessage(content="", file_urls=(name,)))).id
            [event] = await read(remote.gateway, SID, said - 1, numbered(said))
        assert name in event.text


@pytest.mark.slow
async def test_what_lies_here_unread_is_bounded_and_nothing_of_it_is_lost(data_dir: Path) -> None:
    text = "x" * 1_000_000
    async with in_process_server(Config(data_dir=data_dir)) as server, open_remote(server.url, None) as remote:
        await new(server.house.local.gateway)
        async with asyncio.timeout(20), remote.gateway.follow(SID, -1) as news:
            await following(news, IDLE)
            for _ in range(2 * links.BACKLOG // len(text)):
                said = (await server.house.local.gateway.submit(SID, SendMessage(content=text))).id
                await read(server.house.local.gateway, SID, said, turn_ends)
            got = await following(news, numbered(said))
        assert got == await read(server.house.local.gateway, SID, got[0].id - 1, numbered(said))


@pytest.mark.parametrize(
    "url", ["", "ftp://host", "http://", "http://host:port", "http://host:99999", "http:///path", "//host"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="must be like"):
        ServerAddress.of(url)


@pytest.mark.parametrize(
    ("url", "origin", "path"),
    [
        ("localhost:3000", "http://localhost:3000", ""),
        ("http://[::1]:3000/", "http://[::1]:3000", ""),
        ("https://host/agents/", "https://host", "/agents"),
    ],
)
def test_an_address_may_have_a_path_and_no_scheme(url: str, origin: str, path: str) -> None:
    assert ServerAddress.of(url) == ServerAddress(origin, path)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def answering(handler: Handler) -> AsyncIterator[Access]:
    """A remote whose server answers everything alike."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with (
        listening(app, "127.0.0.1", 0, 1.0) as port,
        open_remote(f"http://127.0.0.1:{port}", None, patience=0.3) as remote,
        asyncio.timeout(15),
    ):
        yield remote


async def hello(request: web.Request) -> web.StreamResponse:
    return web.Response(text="hello")


async def some_json(request: web.Request) -> web.StreamResponse:
    return web.json_response({"conversation_id": "talk"})


async def proxy_error(request: web.Request) -> web.StreamResponse:
    return web.Response(status=502, text="<html>bad gateway</html>")


async def not_here(request: web.Request) -> web.StreamResponse:
    return web.json_response({"detail": "Not Found"}, status=404)


@pytest.mark.parametrize("handler", [hello, some_json, proxy_error])
async def test_a_server_of_another_kind_is_told_so(handler: Handler) -> None:
    async with answering(handler) as remote:
        with pytest.raises(UnreadableMessage, match="is it an openhands-sessions server"):
            await remote.gateway.describe(SID)
        with pytest.raises(UnreadableMessage):
            await remote.gateway.submit(SID, Stop())
        with pytest.raises(Unreachable):
            async with remote.gateway.follow(SID, -1):
                pass


async def test_a_path_that_is_not_there_is_not_found() -> None:
    async with answering(not_here) as remote:
        with pytest.raises(NotFound):
            await remote.gateway.describe(SID)


async def closing_socket(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.close()
    return socket


async def babbling_socket(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.send_str("who are you?")
    await socket.close()
    return socket


@pytest.mark.parametrize("handler", [closing_socket, babbling_socket])
async def test_a_socket_that_speaks_something_else_is_unreachable(handler: Handler) -> None:
    async with answering(handler) as remote:
        with pytest.raises(Unreachable):
            async with remote.gateway.follow(SID, -1):
                pass
