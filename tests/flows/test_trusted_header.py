"""Users whom a proxy names: believed from the proxy's address, and from nowhere else."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.support.running_server import Server, running_server
from tests.support.socket_connection import ConnectionRefused, SocketConnection

PROXY, ELSEWHERE = "127.0.0.2", "127.0.0.3"
SETTINGS = {
    "OHS_AUTH__KIND": "trusted_header",
    "OHS_AUTH__PROXIES": PROXY,
    "OHS_AUTH__ROLE_HEADER": "X-Role",
    "OHS_SERVER__TRUSTED_PROXIES": "127.0.0.0/8",
}
ALL = "/api/conversations"


@pytest.fixture
async def server(data_dir: Path) -> AsyncIterator[Server]:
    async with running_server(data_dir, SETTINGS) as ready:
        yield ready


def http_from(server: Server, address: str, *headers: tuple[str, str]) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(local_addr=(address, 0))
    return aiohttp.ClientSession(server.url, connector=connector, headers=headers)


async def status(http: aiohttp.ClientSession, method: str = "GET", **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with http.request(method, ALL, headers=named) as answer:
        return answer.status


async def test_a_header_counts_from_the_proxy_only(server: Server) -> None:
    async with http_from(server, PROXY) as proxy, http_from(server, ELSEWHERE) as other:
        assert await status(proxy, X_Forwarded_User="ada") == 200
        assert await status(proxy) == 401
        assert await status(proxy, X_Forwarded_User="a" * 129) == 401
        assert await status(other, X_Forwarded_User="ada") == 401
        assert await status(other, X_Forwarded_User="ada", X_Forwarded_For=PROXY) == 401
        assert await status(proxy, X_Forwarded_User="ada", X_Forwarded_For="203.0.113.7") == 200
    async with http_from(server, PROXY, ("X-Forwarded-User", "ada"), ("X-Forwarded-User", "bob")) as twice:
        assert await status(twice) == 401


async def test_users_are_told_apart_and_have_the_role_that_the_proxy_names(server: Server) -> None:
    async with http_from(server, PROXY) as proxy:
        assert await status(proxy, "POST", X_Forwarded_User="ada", Content_Type="application/json") == 200
        for user, number in (("ada", 1), ("bob", 0)):
            async with proxy.get(ALL, headers={"X-Forwarded-User": user}) as answer:
                assert len((await answer.json())["results"]) == number
    for headers, admitted in (
        ([("X-Forwarded-User", "eve")], False),
        ([("X-Forwarded-User", "eve"), ("X-Role", "operator")], True),
    ):
        async with http_from(server, PROXY, *headers) as http:
            connection = SocketConnection(http, lambda name, value: None, lambda: None, "/operator")
            if admitted:
                await connection.connect(server.url, {})
            else:
                with pytest.raises(ConnectionRefused):
                    await connection.connect(server.url, {})
            await connection.close()


async def test_a_page_of_another_site_changes_nothing_in_the_users_name(server: Server) -> None:
    async with http_from(server, PROXY, ("X-Forwarded-User", "ada")) as browser:
        assert await status(browser, "POST", Sec_Fetch_Site="cross-site") == 401
        assert await status(browser, "POST", Origin="https://evil.example") == 403
        assert await status(browser, "POST", Sec_Fetch_Site="same-origin") == 200
        async with browser.get("/api/login") as answer:
            assert (answer.status, answer.url.path) == (200, "/")
    async with http_from(server, PROXY) as unknown, unknown.get("/") as answer:
        assert (answer.status, "A proxy in front of this server" in await answer.text()) == (401, True)
