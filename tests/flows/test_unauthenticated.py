"""Connections whose callers do not authenticate: each ends in time, and those who have authenticated are served."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest

from tests.support.raw_connections import UPGRADE, WEBSOCKET, RawConnection, raw_connection, raw_connections
from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients
from tests.support.slow_line import slow_line
from tests.support.socket_clients import Protocol2Client
from tests.support.strangers import KINDS, POLLING, stranger

KEY = "a key"
GUARDED = {"OHS_SESSION_API_KEY": KEY, "OHS_AUTH__KIND": "session_key"}
SECONDS = 1.0
"""What a client has."""
LONGER = 5.0
"""What it has where many must come before the first one has had its time."""
PATIENCE = 60.0
"""Within this it must be over, on a busy machine too."""
REFUSED = "an unauthenticated connection was refused"
PROXY = "127.0.0.99"
LARGE = 30_000_000
"""Bytes of a file that the system's buffers do not hold."""
MUCH = {"initial_user_msg": "x" * 10_000}
"""Takes a fifth of a second on a line of 400 kbit/s."""


@pytest.fixture
def seconds() -> float:
    return SECONDS


@pytest.fixture
async def server(data_dir: Path, tmp_path: Path, seconds: float) -> AsyncIterator[Server]:
    client = tmp_path / "client"
    (client / "assets").mkdir(parents=True)
    (client / "index.html").write_text("the page")
    with (client / "assets" / "large.js").open("wb") as large:
        large.truncate(LARGE)
    settings = {
        **GUARDED,
        "OHS_LIMITS__AUTHENTICATION_TIMEOUT": str(seconds),
        "OHS_LIMITS__UNAUTHENTICATED_CONNECTIONS": "150",
        "OHS_LIMITS__UNAUTHENTICATED_PER_ADDRESS": "3",
        "OHS_SERVER__TRUSTED_PROXIES": PROXY,
        "OHS_SERVER__CLIENT_DIR": str(client),
    }
    async with running_server(data_dir, settings) as ready:
        yield ready


async def key_without_connect(connection: RawConnection) -> None:
    """Known by its handshake, and in no namespace."""
    connection.ask(f"{WEBSOCKET}&session_api_key={quote(KEY)}", UPGRADE)
    await connection.until(b'"sid"')


async def known_client(stack: AsyncExitStack, server: Server) -> Protocol2Client:
    """One that has authenticated, in a conversation of its own."""
    clients = await stack.enter_async_context(Clients(server.url, key=KEY))
    client = clients.protocol2(await clients.rest.create())
    await client.connect()
    return client


def files(server: Server) -> int:
    return len(list(Path(f"/proc/{server.pid}/fd").iterdir()))


async def test_every_kind_ends_in_time_while_a_client_that_is_known_stays_and_is_served(server: Server) -> None:
    async with AsyncExitStack() as stack, asyncio.timeout(PATIENCE):
        client = await known_client(stack, server)
        before = files(server)
        async with asyncio.TaskGroup() as strangers:
            coming = [
                strangers.create_task(stranger(server.port, kind))
                for kind in (*KINDS, key_without_connect)
                for _ in range(4)
            ]
            while not all(task.done() for task in coming):
                assert await client.say("true")
                await asyncio.sleep(SECONDS / 5)
        assert client.connected
        assert files(server) <= before + 8, "what has ended holds nothing"
    lines = await server.logged(REFUSED, 4)
    assert {line["cause"] for line in lines} == {"it connected to no namespace in time"}


async def test_who_reads_a_large_answer_slowly_is_not_cut_and_who_does_not_read_it_is(server: Server) -> None:
    async with raw_connections(server.port, 2) as (slow, deaf), asyncio.timeout(PATIENCE):
        for connection in (slow, deaf):
            connection.pause()
            connection.ask("/assets/large.js")
        begun = time.monotonic()
        while time.monotonic() - begun < 3 * SECONDS:
            slow.resume()
            await slow.until_size(slow.size + 1)
            slow.pause()
            await asyncio.sleep(SECONDS / 20)
        slow.resume()
        await slow.until_size(LARGE)
        deaf.resume()
        await deaf.gone.wait()
        assert deaf.size < LARGE


@pytest.mark.parametrize("seconds", [LONGER])
async def test_beyond_the_number_who_owes_longest_gives_way_and_others_are_refused_with_a_line(server: Server) -> None:
    async with AsyncExitStack() as stack, asyncio.timeout(PATIENCE):
        client = await known_client(stack, server)
        flood = await stack.enter_async_context(raw_connections(server.port, 200))
        await server.logged("too many in all", 1)
        assert await client.say("true"), "who is known is served"
        standing = [each for each in flood if not each.gone.is_set()]
        while sum(not each.gone.is_set() for each in flood) >= len(standing):
            later = await raw_connection(server.port)
            stack.callback(later.close)
            await asyncio.sleep(0.02)
        assert (await known_client(stack, server)).connected, "whoever comes now gets in"


@pytest.mark.parametrize("seconds", [LONGER])
async def test_behind_a_trusted_proxy_the_callers_address_is_counted_and_logged(server: Server) -> None:
    async with AsyncExitStack() as stack, asyncio.timeout(PATIENCE):
        flood = await stack.enter_async_context(raw_connections(server.port, 6, PROXY))
        for connection in flood:  # what stands on the left is the caller's own claim
            connection.send(login_begun("X-Forwarded-For: 192.0.2.1, 203.0.113.7, 127.0.0.99\r\n"))
        await asyncio.gather(*(each.gone.wait() for each in flood))
        refused = [each for each in flood if b"at_capacity" in each.received]
        assert 1 <= len(refused) <= 3, "three may wait at a time, and wait for so long"
        [line, *_] = await server.logged("too many from its address", len(refused))
        assert line["address"] == "203.0.113.7"
        other = await stack.enter_async_context(raw_connections(server.port, 2, PROXY))
        other[0].ask("/api/conversations", "X-Forwarded-For: 203.0.113.8\r\n")
        await other[0].until(b'"unauthorized"')
        plain = await stack.enter_async_context(raw_connections(server.port, 6))
        for connection in plain:
            connection.ask("/api/conversations", "X-Forwarded-For: 203.0.113.9\r\n")
            await connection.until(b'"unauthorized"')
    lines = await server.logged("a caller was refused", 7)
    addresses = [line["address"] for line in lines]
    assert addresses[0] == "203.0.113.8"
    assert all(address.startswith("127.") for address in addresses[1:]), "who is no proxy says nothing"


def login_begun(headers: str) -> bytes:
    return f"POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n{headers}\r\n".encode()


@pytest.mark.parametrize("delay", [0.1, pytest.param(2.0, marks=pytest.mark.long)])
async def test_over_a_slow_line_clients_connect_by_websocket_and_by_polling(data_dir: Path, delay: float) -> None:
    async with (
        running_server(data_dir, GUARDED) as server,
        slow_line(server.port, delay=delay, speed=50_000) as port,
        asyncio.timeout(60),
    ):
        async with Clients(server.url, key=KEY) as clients:
            sid = await clients.rest.create()
        async with Clients(f"http://127.0.0.1:{port}", key=KEY) as far, aiohttp.ClientSession() as http:
            client = far.protocol2(sid)
            auth = {"protocol": 2, "conversation_id": sid, "session_api_key": KEY, "create": MUCH}
            await asyncio.gather(client.connect(create=MUCH), polled(http, f"http://127.0.0.1:{port}{POLLING}", auth))
            assert await client.say("x" * 5_000)
        assert REFUSED not in server.log


async def polled(http: aiohttp.ClientSession, url: str, auth: Mapping[str, object]) -> None:
    """Connect by polling."""
    async with http.get(url) as answer:
        url += f"&sid={json.loads((await answer.text())[1:])['sid']}"
    async with http.post(url, data=f"40{json.dumps(auth)}") as answer:
        assert answer.status == 200
    async with http.get(url) as answer:
        assert (await answer.text()).startswith("40")
