"""`docs/howto/use-the-openhands-client.md`, step by step, with a small page in the client's place."""

import asyncio
import os
import re
import shlex
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from openhands_sessions.config.session_key import read_key
from tests.support.command_line import RunningProgram
from tests.support.running_server import Server, discard_sandboxes
from tests.support.server_clients import Clients
from tests.support.socket_clients import V0Client

TEXT = (Path(__file__).parents[2] / "docs" / "howto" / "use-the-openhands-client.md").read_text()
SERVED, PROXIED = re.findall(r"^ *(openhands-sessions serve\b.*)$", TEXT, re.MULTILINE)
NAME = "agents.example.org"
PAGE = "<!doctype html><title>the client</title>"
ASKED = {"llm_model": "scripted:demo", "llm_api_key": "sk-mine", "agent": "CodeActAgent", "language": "en"}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Where step 1 leaves the reader: a folder with a `build` in it."""
    assets = tmp_path / "frontend" / "build" / "assets"
    assets.mkdir(parents=True)
    (assets / "entry-1.js").write_text("run()")
    (assets.parent / "index.html").write_text(PAGE)
    return tmp_path / "frontend"


@asynccontextmanager
async def serving(words: str, here: Path, **variables: str) -> AsyncIterator[str]:
    """Run a command of the text on a free port; where it listens."""
    program, *arguments = shlex.split(words)
    assert program == "openhands-sessions"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "openhands_sessions", *arguments, "--port", "0"),
        cwd=here,
        env={**os.environ, "OHS_DATA_DIR": str(here / "data"), **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    server = RunningProgram(process)
    try:
        yield (await server.says("listens on")).split()[-1]
    finally:
        process.terminate()
        await server.rest()
        await discard_sandboxes(here / "data")


def by_key(here: Path) -> dict[str, str]:
    """What a caller sends who has read the key that the server made."""
    key = read_key(here / "data")
    assert key is not None
    return {"X-Session-API-Key": key}


async def test_the_client_is_served_and_asks_for_settings_first(here: Path) -> None:
    async with serving(SERVED, here) as url, Clients(url, key=read_key(here / "data")) as clients:
        for path in ("/", "/conversations/0123", "/settings"):
            assert (await _page(url, path, {}))[0] == 401
            assert await _page(url, path, by_key(here)) == (200, PAGE)
        assert await _page(url, "/assets/entry-1.js", {}) == (200, "run()")
        assert (await clients.rest.ask("GET", "/api/settings"))[0] == 404
        assert (await clients.rest.ask("POST", "/api/settings", ASKED))[0] == 200
        _, kept = await clients.rest.ask("GET", "/api/settings")
        assert (kept["llm_model"], kept["llm_api_key"], kept["llm_api_key_set"]) == ("scripted:demo", None, True)
        sid = await clients.rest.create("hello")
        client = clients.v0(sid)
        await client.connect()
        said = await client.until_event(lambda event: "scripted model" in event.get("args", {}).get("content", ""))
        assert said["source"] == "agent"


async def test_behind_a_proxy_the_origin_must_be_an_allowed_one(here: Path) -> None:
    async with serving(PROXIED, here) as url, aiohttp.ClientSession() as http:
        page = {"Host": NAME, "Origin": f"https://{NAME}", **by_key(here)}
        assert (await _asked(http, url, page))[0] == 200
        assert (await _asked(http, url, {**page, "Origin": "https://evil.example"}))[0] == 403
        assert (await _asked(http, url, {"Host": NAME}))[0] == 401
        assert "X-Session-API-Key" in TEXT
        assert await _talks(url, page) == "through the proxy"


async def test_without_a_key_the_name_must_be_an_allowed_one_as_well(here: Path) -> None:
    [allowed] = re.findall(r"`(--set server\.allowed_hosts=\S+)`", TEXT)
    async with serving(f"{PROXIED} --no-auth {allowed}", here) as url, aiohttp.ClientSession() as http:
        for name, status in ((NAME, 200), ("evil.example", 403), ("127.0.0.1", 200)):
            assert (await _asked(http, url, {"Host": name}))[0] == status


async def test_the_proxy_of_the_text_serves_on_any_port_and_people_log_in_there(here: Path) -> None:
    handed_on = dict(re.findall(r"proxy_set_header (Host|X-Forwarded-Proto) (\S+);", TEXT))
    given = {"$host": NAME, "$http_host": f"{NAME}:8443", "$scheme": "https"}  # as nginx knows a browser's request
    proxied = {name: given[variable] for name, variable in handed_on.items()}
    page = {**proxied, "Origin": f"https://{NAME}:8443"}
    async with serving(PROXIED, here) as url, aiohttp.ClientSession() as http:
        login = {"session_api_key": by_key(here)["X-Session-API-Key"]}
        async with http.post(f"{url}/api/login", headers=page, data=login, allow_redirects=False) as answer:
            cookie = answer.cookies["ohs_login_8443"]
        assert cookie["secure"]
        page = {**page, "Cookie": f"{cookie.key}={cookie.value}"}
        assert (await _posted(http, url, page))[0] == 200
        assert (await _posted(http, url, {**page, "Origin": f"https://{NAME}"}))[0] == 403
    [origin] = re.findall(r"`(https://agents\S+:8443)`", TEXT)
    elsewhere = {"Host": NAME, "Origin": origin}
    async with (
        serving(f"{PROXIED} --set server.allowed_origins={origin}", here) as url,
        aiohttp.ClientSession(headers=by_key(here)) as http,
    ):
        assert (await _posted(http, url, elsewhere))[0] == 200
        assert (await _posted(http, url, {**elsewhere, "Origin": "https://evil.example"}))[0] == 403


async def test_the_microagent_of_the_text_is_told_when_its_word_is_said(server: Server, clients: Clients) -> None:
    [microagent] = re.findall(r"```markdown\n(.*?)```", TEXT, re.DOTALL)
    sid = await clients.rest.create()
    await clients.rest.ask("GET", f"/api/conversations/{sid}/list-files")
    folder = server.workspace(sid) / ".openhands" / "microagents"
    folder.mkdir(parents=True)
    (folder / "releases.md").write_text(microagent)
    await clients.rest.ask("POST", f"/api/conversations/{sid}/stop")
    client = clients.protocol2(sid)
    await client.connect()
    await client.until_state("awaiting_user_input", after=await clients.rest.head(sid) - 2)
    await client.say("prepare the next release")
    told = await client.until_event(lambda event: bool(event.get("extras", {}).get("microagent_knowledge")))
    assert told["extras"]["microagent_knowledge"] == [
        {"name": "releases", "trigger": "release", "content": "Tag with `make tag`; never by hand."}
    ]


async def _talks(url: str, headers: Mapping[str, str]) -> str:
    """What a command prints, for a web client whose requests all carry these headers."""
    async with aiohttp.ClientSession(headers=headers) as http:
        async with http.post(f"{url}/api/conversations", json={"initial_user_msg": "$ echo through the proxy"}) as made:
            sid = (await made.json())["conversation_id"]
        client = V0Client(http, url, sid)
        await client.connect()
        try:
            ran = await client.until_event(lambda event: event.get("observation") == "run")
        finally:
            await client.leave()
        return str(ran["content"]).strip()


async def _asked(http: aiohttp.ClientSession, url: str, headers: Mapping[str, str]) -> tuple[int, Any]:
    async with http.get(f"{url}/api/options/config", headers=headers) as got:
        return got.status, await got.json()


async def _posted(http: aiohttp.ClientSession, url: str, headers: Mapping[str, str]) -> tuple[int, Any]:
    async with http.post(f"{url}/api/conversations", headers=headers, json={}) as got:
        return got.status, await got.json()


async def _page(url: str, path: str, headers: Mapping[str, str]) -> tuple[int, str]:
    async with aiohttp.ClientSession() as http, http.get(f"{url}{path}", headers=headers) as got:
        return got.status, await got.text()
