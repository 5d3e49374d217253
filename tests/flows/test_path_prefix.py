"""A server below a path, behind nginx."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from openhands_sessions.config.session_key import read_key
from tests.support.command_line import CommandLine
from tests.support.nginx import Nginx, find_nginx, nginx
from tests.support.running_server import Server, running_server
from tests.support.socket_clients import Protocol2Client
from tests.support.system_packages import Missing, unavailable

HOWTO = Path(__file__).parents[2] / "docs" / "howto"
[LOCATION] = re.findall(r"```nginx\n(.*?)```", (HOWTO / "operate.md").read_text(), re.DOTALL)
[PAGE] = re.findall(r"```nginx\n(.*?)```", (HOWTO / "deploy.md").read_text(), re.DOTALL)
SETTINGS = {
    "OHS_AUTH__KIND": "session_key",
    "OHS_SERVER__TRUSTED_PROXIES": "127.0.0.1",
    "OHS_SERVER__BASE_PATH": "agents/",
}


@dataclass(frozen=True)
class Below:
    """A server below /agents, and a browser that trusts the certificate of nginx in front of it."""

    server: Server
    proxy: Nginx
    http: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"{self.proxy.url}/agents"

    @property
    def by_key(self) -> dict[str, str]:
        return {"X-Session-API-Key": read_key(self.server.data_dir) or ""}


@pytest.fixture
async def below(data_dir: Path, tmp_path: Path) -> AsyncIterator[Below]:
    try:
        program = find_nginx()
    except Missing as problem:
        unavailable(problem)
    page = PAGE.replace("location / {", LOCATION.splitlines()[0])
    async with (
        running_server(data_dir, SETTINGS) as server,
        nginx(program, page, tmp_path / "nginx", server.port) as proxy,
        aiohttp.ClientSession(connector=proxy.trusted()) as http,
    ):
        yield Below(server, proxy, http)


async def test_a_conversation_goes_over_rest_sockets_and_server_sent_events(below: Below) -> None:
    own = {"Origin": below.proxy.url, **below.by_key}
    async with below.http.post(
        f"{below.url}/api/conversations", json={"initial_user_msg": "hi"}, headers=own
    ) as answer:
        sid = (await answer.json())["conversation_id"]
    async with aiohttp.ClientSession(connector=below.http.connector, connector_owner=False, headers=own) as page:
        client = Protocol2Client(page, below.url, sid)
        await client.connect()
        await client.until_state("awaiting_user_input")
        await client.leave()
    async with below.http.get(f"{below.url}/api/conversations/{sid}/events/stream", headers=own) as answer:
        async with asyncio.timeout(30):
            while not (line := await answer.content.readline()).startswith(b"data:"):
                pass
    assert json.loads(line.removeprefix(b"data:"))["id"] == 0


async def test_a_browser_logs_in_and_out_below_it(below: Below) -> None:
    printed = await CommandLine(below.server.data_dir).run("login-url", "--server", below.server.url)
    link = printed.out.strip().replace(below.server.url, below.url)
    async with below.http.get(link, allow_redirects=False) as answer:
        [cookie] = answer.cookies.values()
        assert (answer.status, answer.headers["Location"], cookie["path"]) == (303, "/agents/", "/agents")
    async with below.http.get(f"{below.url}/") as answer:
        page = await answer.text()
    [docs] = re.findall(r'href="([^"]*docs)"', page)
    async with below.http.get(f"{below.proxy.url}{docs}") as answer:
        assert answer.status == 200
        [described] = re.findall(r'href="(openapi[^"]*)"', await answer.text())
    async with below.http.get(f"{below.proxy.url}{docs.removesuffix('docs')}{described}") as answer:
        assert (await answer.json())["servers"] == [{"url": "/agents"}]
    [out] = re.findall(r'action="([^"]*)"', page)
    async with below.http.post(f"{below.proxy.url}{out}", headers={"Origin": below.proxy.url}) as answer:
        form = await answer.text()
        assert (answer.status, 'action="/agents/api/login"' in form) == (401, True)
    key = {"session_api_key": read_key(below.server.data_dir) or "", "next": "/agents/anywhere"}
    async with below.http.post(f"{below.url}/api/login", data=key, allow_redirects=False) as answer:
        assert answer.headers["Location"] == "/agents/anywhere"


async def test_nothing_is_served_outside_of_it(below: Below) -> None:
    outside = f"http://127.0.0.1:{below.server.port}"
    for path in (
        "/health/ready",
        "/api/conversations",
        "/socket.io/?EIO=4&transport=polling",
        "/agentsx/health/ready",
        "/",
    ):
        async with below.http.get(f"{outside}{path}", headers=below.by_key) as answer:
            assert (answer.status, (await answer.json())["code"]) == (404, "not_found")
    async with below.http.get(f"{outside}/agents") as answer:
        assert answer.status == 401  # the page that asks for a login


async def test_programs_reach_it_by_its_address(below: Below) -> None:
    done = await CommandLine(below.server.data_dir).run("chat", "--server", below.server.url, "-m", "$ echo below")
    assert (done.code, "below" in done.out) == (0, True), done.err
