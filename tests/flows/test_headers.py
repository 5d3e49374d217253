"""Who may ask a route, which pages may, and what a browser may do with the answer: over every route."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from openhands_sessions.protocol.route import Route
from openhands_sessions.protocol.routes import ROUTES
from tests.support.answer_shapes import mismatch, refused
from tests.support.raw_socket import RawSocket
from tests.support.running_server import Server, running_server

KEY = "a key"
FRIEND, STRANGER = "https://friend.example", "https://stranger.example"
OURS = {"X-Session-API-Key": KEY}
UNKNOWN = "0" * 32


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    settings = {"OHS_AUTH__KIND": "session_key", "OHS_SESSION_API_KEY": KEY, "OHS_SERVER__ALLOWED_ORIGINS": FRIEND}
    async with running_server(tmp_path_factory.mktemp("headers") / "data", settings) as ready:
        yield ready


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def path_of(route: Route) -> str:
    path = route.path
    for name in route.parameters:
        path = path.replace(f"{{{name}}}", UNKNOWN)
    return path


async def test_every_route_but_the_open_ones_asks_for_the_key(server: Server, http: aiohttp.ClientSession) -> None:
    for route in ROUTES:
        for headers in ({}, {"X-Session-API-Key": "another key"}):
            async with http.request(route.method, f"{server.url}{path_of(route)}", headers=headers) as answer:
                if route.access == "anyone":
                    assert answer.status != 403, route.call
                else:
                    assert answer.status == 401, route.call
                    assert not mismatch(refused("unauthorized"), await answer.json())


async def test_every_answer_says_what_a_browser_may_do_with_it(server: Server, http: aiohttp.ClientSession) -> None:
    paths = [(route.method, path_of(route)) for route in ROUTES]
    others = [("GET", "/"), ("GET", "/nothing"), ("DELETE", "/alive"), ("GET", "/socket.io/?EIO=4&transport=polling")]
    for method, path in (*paths, *others):
        for headers in ({}, OURS):
            async with http.request(method, f"{server.url}{path}", headers=headers) as answer:
                found = answer.headers
                assert found["X-Content-Type-Options"] == "nosniff", (method, path)
                assert found["X-Frame-Options"] == "DENY", (method, path)
                assert "default-src 'none'" in found["Content-Security-Policy"], (method, path)
                assert "frame-ancestors 'none'" in found["Content-Security-Policy"], (method, path)
                assert found["Referrer-Policy"] in ("same-origin", "no-referrer"), (method, path)


async def test_pages_of_an_allowed_origin_may_ask_every_route_and_others_none(
    server: Server, http: aiohttp.ClientSession
) -> None:
    for route in ROUTES:
        url = f"{server.url}{path_of(route)}"
        asking = {"Origin": FRIEND, "Access-Control-Request-Method": route.method}
        async with http.options(url, headers=asking) as answer:
            found = answer.headers
            assert answer.status == 204, route.call
            assert found["Access-Control-Allow-Origin"] == FRIEND
            assert found["Access-Control-Allow-Credentials"] == "true"
            assert route.method in found["Access-Control-Allow-Methods"].split(", ")
            assert {"X-Session-API-Key", "Content-Type"} <= set(found["Access-Control-Allow-Headers"].split(", "))
        async with http.request(route.method, url, headers=OURS | {"Origin": FRIEND}) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == FRIEND, route.call
            assert "Origin" in answer.headers["Vary"]
        for method, more in (("OPTIONS", {"Access-Control-Request-Method": route.method}), (route.method, OURS)):
            async with http.request(method, url, headers={"Origin": STRANGER, **more}) as answer:
                assert answer.status == 403, route.call
                assert "Access-Control-Allow-Origin" not in answer.headers
                assert not mismatch(refused("foreign_origin"), await answer.json())


async def test_a_preflight_without_an_origin_that_is_allowed_is_no_way_in(
    server: Server, http: aiohttp.ClientSession
) -> None:
    async with http.options(f"{server.url}/api/conversations", headers={"Origin": FRIEND}) as answer:
        assert answer.status == 401
    async with http.options(
        f"{server.url}/api/conversations", headers={"Access-Control-Request-Method": "POST"}
    ) as answer:
        assert answer.status == 401


async def test_hosts_that_are_none_are_refused_and_so_is_jsonp(server: Server, http: aiohttp.ClientSession) -> None:
    for host in ("friend@127.0.0.1", "127.0.0.1/x", "127.0.0.1:80:80", "a b", "x?y", "[::1"):
        async with http.get(f"{server.url}/alive", headers={"Host": host}) as answer:
            assert answer.status == 403, host
            assert not mismatch(refused("foreign_host"), await answer.json())
    async with http.get(f"{server.url}/socket.io/?EIO=4&transport=polling&j=0") as answer:
        assert answer.status == 422
        assert not mismatch(refused("bad_input", field="j"), await answer.json())


async def test_readiness_tells_strangers_no_counts(server: Server, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{server.url}/health/ready") as answer:
        assert await answer.json() == {"status": "ok", "server": "openhands-sessions"}


async def test_a_client_of_an_allowed_origin_polls_and_connects(server: Server, http: aiohttp.ClientSession) -> None:
    for origin, status in ((FRIEND, 200), (STRANGER, 403)):
        url = f"{server.url}/socket.io/?EIO=4&transport=polling"
        async with http.get(url, headers={"Origin": origin}) as answer:
            assert answer.status == status
            assert answer.headers.get("Access-Control-Allow-Origin") == (FRIEND if status == 200 else None)
    raw = RawSocket(http, server.url)
    await raw.open()
    await raw.close()
