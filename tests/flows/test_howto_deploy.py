"""`docs/howto/deploy.md`: its nginx in front of a server, its unit, and what it says of copies of the data folder."""

import asyncio
import configparser
import io
import re
import shlex
import shutil
import ssl
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from openhands_sessions.config.loading import settings
from openhands_sessions.config.session_key import read_key
from tests.support.command_line import CommandLine
from tests.support.nginx import NAME, Nginx, find_nginx, nginx
from tests.support.page_shell import PageShell
from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients
from tests.support.socket_clients import Protocol2Client
from tests.support.system_packages import Missing, unavailable

HOWTOS = Path(__file__).parents[2] / "docs" / "howto"
TEXT = (HOWTOS / "deploy.md").read_text()
[CLIENT_PAGE] = re.findall(r"```nginx\n(.*?)```", (HOWTOS / "use-the-openhands-client.md").read_text(), re.DOTALL)
[PAGE] = re.findall(r"```nginx\n(.*?)```", TEXT, re.DOTALL)
UNIT = HOWTOS.parents[1] / "configs" / "openhands-sessions.service"
[PROXY] = re.findall(r"^OHS_SERVER__TRUSTED_PROXIES=(.*)$", TEXT, re.MULTILINE)
[BACKUP] = re.findall(r"```sh\n([^`]*?openhands-sessions backup [^`]*?)```", TEXT)
[RESTORE] = re.findall(r"```sh\n([^`]*?openhands-sessions restore [^`]*?)```", TEXT)
GUARDED = {"OHS_AUTH__KIND": "session_key", "OHS_SERVER__TRUSTED_PROXIES": PROXY}
WAITS = "$ echo begun; until test -e go; do sleep 0.02; done; echo over"


@dataclass(frozen=True)
class Deployed:
    """A server with its own key behind nginx, and a browser that trusts the certificate."""

    server: Server
    proxy: Nginx
    http: aiohttp.ClientSession

    @property
    def key(self) -> str:
        key = read_key(self.server.data_dir)
        assert key is not None
        return key

    @property
    def by_key(self) -> dict[str, str]:
        return {"X-Session-API-Key": self.key}

    @property
    def trusting(self) -> CommandLine:
        """Programs on a machine that has the key and not the data folder."""
        variables = {"SSL_CERT_FILE": str(self.proxy.authority), "OHS_SESSION_API_KEY": self.key}
        return CommandLine(self.server.data_dir.with_name("elsewhere"), variables)

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.request(method, f"{self.proxy.url}{path}", json=body, headers=named) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def deployed(data_dir: Path) -> AsyncIterator[Deployed]:
    try:
        program = find_nginx()
    except Missing as problem:
        unavailable(problem)
    async with (
        running_server(data_dir, GUARDED) as server,
        nginx(program, PAGE, data_dir.with_name("nginx"), server.port) as proxy,
        aiohttp.ClientSession(connector=proxy.trusted()) as http,
    ):
        yield Deployed(server, proxy, http)


async def test_a_browser_logs_in_by_a_link_and_its_page_talks_over_a_websocket(deployed: Deployed) -> None:
    printed = await deployed.trusting.run("login-url", "--server", deployed.proxy.url)
    assert printed.code == 0, printed.err
    async with deployed.http.get(printed.out.strip(), allow_redirects=False) as answer:
        [cookie] = answer.cookies.values()
    assert (answer.status, cookie["secure"], cookie["samesite"]) == (303, True, "Strict")
    own = {"Origin": deployed.proxy.url}
    status, made = await deployed.ask("POST", "/api/conversations", {"initial_user_msg": "$ echo through"}, **own)
    assert status == 200
    async with aiohttp.ClientSession(
        connector=deployed.http.connector, connector_owner=False, cookie_jar=deployed.http.cookie_jar, headers=own
    ) as page:
        client = Protocol2Client(page, deployed.proxy.url, made["conversation_id"])
        await client.connect()
        ran = await client.until_event(lambda event: event.get("observation") == "run")
        await client.leave()
    assert ran["content"].strip() == "through"


async def test_a_page_of_another_origin_and_a_caller_without_a_key_are_refused(deployed: Deployed) -> None:
    assert (await deployed.ask("GET", "/api/conversations"))[0] == 401
    foreign = {"Origin": "https://evil.example", **deployed.by_key}
    assert (await deployed.ask("POST", "/api/conversations", {}, **foreign))[0] == 403
    named = {"Host": NAME, "Origin": f"https://{NAME}", **deployed.by_key}
    assert (await deployed.ask("POST", "/api/conversations", {}, **named))[0] == 200


async def test_the_log_has_the_address_of_the_caller_whatever_it_claims(deployed: Deployed) -> None:
    here = aiohttp.TCPConnector(local_addr=("127.0.0.5", 0))
    async with aiohttp.ClientSession(connector=here, headers={"X-Forwarded-For": "203.0.113.7"}) as http:
        trusting = ssl.create_default_context(cafile=deployed.proxy.authority)
        url = deployed.proxy.url.replace("localhost", "127.0.0.1")
        async with http.get(f"{url}/api/conversations", ssl=trusting, server_hostname="localhost") as answer:
            assert answer.status == 401
    [line] = await deployed.server.logged("a caller was refused", 1)
    assert line["address"] == "127.0.0.5"


async def test_plain_http_leads_to_tls(deployed: Deployed) -> None:
    async with deployed.http.get(f"{deployed.proxy.plain}/settings", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (301, f"{deployed.proxy.url}/settings")


async def test_chat_and_large_files_pass_through(deployed: Deployed) -> None:
    done = await deployed.trusting.run("chat", "--server", deployed.proxy.url, "-m", "$ echo by chat")
    assert (done.code, "by chat" in done.out) == (0, True), done.err
    _, made = await deployed.ask("POST", "/api/conversations", {}, **deployed.by_key)
    files = f"{deployed.proxy.url}/api/conversations/{made['conversation_id']}"
    form = aiohttp.FormData()
    form.add_field("files", io.BytesIO(b"x" * 20_000_000), filename="large.bin")
    async with deployed.http.post(f"{files}/upload-files", data=form, headers=deployed.by_key) as answer:
        assert (await answer.json())["uploaded_files"] == ["/workspace/large.bin"]
    too_large = io.BytesIO(b'{"message": "' + b"x" * 17_000_000 + b'"}')
    async with deployed.http.post(f"{files}/message", data=too_large, headers=deployed.by_key) as answer:
        assert (answer.status, (await answer.json())["code"]) == (413, "too_large")


async def test_without_the_lines_for_websockets_none_is_opened_and_chat_says_so(
    deployed: Deployed, tmp_path: Path
) -> None:
    without = re.sub(r".*(proxy_http_version|Upgrade|Connection).*\n", "", PAGE)
    async with nginx(find_nginx(), without, tmp_path / "without", deployed.server.port) as proxy:
        elsewhere = replace(deployed, proxy=proxy).trusting
        done = await elsewhere.run("chat", "--server", proxy.url, "-m", "$ echo never")
    assert done.code == 1
    assert "cannot be reached by websocket; a proxy in front of it must pass on" in done.err


async def test_without_the_host_of_the_browser_every_change_of_a_page_is_refused(
    deployed: Deployed, tmp_path: Path
) -> None:
    without = re.sub(r".*proxy_set_header (X-Forwarded-)?Host.*\n", "", PAGE)
    async with nginx(find_nginx(), without, tmp_path / "without", deployed.server.port) as proxy:
        page = {"Origin": proxy.url, **deployed.by_key}
        async with (
            aiohttp.ClientSession(connector=proxy.trusted(), headers=page) as http,
            http.post(f"{proxy.url}/api/conversations", json={}) as answer,
        ):
            assert (answer.status, (await answer.json())["code"]) == (403, "foreign_origin")


async def test_a_client_that_nginx_serves_itself_logs_in_below_the_api(deployed: Deployed, tmp_path: Path) -> None:
    (tmp_path / "client").mkdir()
    (tmp_path / "client" / "index.html").write_text("the client")
    here = {"/srv/openhands-client": str(tmp_path / "client")}
    port = deployed.server.port
    async with (
        nginx(find_nginx(), CLIENT_PAGE, tmp_path / "serving", port, here) as proxy,
        aiohttp.ClientSession(proxy.plain, headers={"Origin": proxy.plain}) as page,
    ):
        async with page.get("/conversations/any") as answer:
            assert (answer.status, await answer.text()) == (200, "the client")
        assert (await page.post("/api/conversations", json={})).status == 401
        await page.post("/api/login", data={"session_api_key": deployed.key}, allow_redirects=False)
        async with page.post("/api/conversations", json={}) as answer:
            client = Protocol2Client(page, proxy.plain, (await answer.json())["conversation_id"])
        await client.connect()
        await client.leave()


def test_the_unit_starts_the_program_and_gives_it_time_to_end() -> None:
    unit = configparser.RawConfigParser(strict=True)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(UNIT.read_text())
    assert shlex.split(unit["Service"]["ExecStart"])[1:] == ["serve"]
    assert int(unit["Service"]["TimeoutStopSec"]) > float(settings()["server.shutdown_grace"].default)
    assert unit["Service"]["KillMode"] == "process"


async def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd here")
    copy = tmp_path / UNIT.name
    copy.write_text(re.sub("^ExecStart=[^ ]+", f"ExecStart={sys.executable}", UNIT.read_text(), flags=re.MULTILINE))
    process = await asyncio.create_subprocess_exec(
        *("systemd-analyze", "verify", "--man=no", str(copy)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert [line for line in said.decode().splitlines() if UNIT.name in line] == []
    assert "openhands-sessions.service" in TEXT


async def test_a_folder_copied_while_the_server_is_stopped_has_everything(data_dir: Path) -> None:
    sealed = {"OHS_SERVER__ENCRYPTION_KEY": "0123456789abcdef"}
    async with running_server(data_dir, sealed) as server, Clients(server.url) as clients:
        sid = await clients.rest.create("$ echo kept > file.txt")
        client = clients.protocol2(sid)
        await client.connect()
        await client.until_event(lambda event: event.get("observation") == "turn_ended")
        await clients.rest.ask("POST", "/api/secrets", {"name": "TOKEN", "value": "hidden-value"})
        await server.stopped()
        before, copy = client.events, data_dir.with_name("copy")
        shutil.copytree(data_dir, copy, ignore=shutil.ignore_patterns("*.sock"))
    async with running_server(copy, sealed) as server, Clients(server.url) as clients:
        assert await clients.rest.events(sid) == before
        client = clients.protocol2(sid)
        await client.connect()
        await client.say("$ cat file.txt; echo $TOKEN | wc -c")
        ran = await client.until_event(lambda event: event.get("observation") == "run", after=before[-1]["id"])
        assert ran["content"].split() == ["kept", "13"]


async def test_a_backup_made_while_the_server_runs_has_every_event_and_runs_no_command_again(
    server: Server, clients: Clients, tmp_path: Path
) -> None:
    sid = await clients.rest.create(WAITS)
    client = clients.protocol2(sid)
    await client.connect()
    await client.until(lambda: any("begun" in stream.text for stream in client.streams.values()))
    shell, copy = PageShell(tmp_path / "shell", {}), server.data_dir.with_name("copy")
    here = {"/backup/openhands-sessions-2026-01-31": "backup", "/backup/openhands-sessions-$(date +%F)": "backup"}
    for commands, folder in ((BACKUP, server.data_dir), (RESTORE, copy)):
        for named, actual in (
            here
            | {
                "/var/lib/openhands-sessions": str(folder),
                "sudo -u agents .venv/bin/": "",
                "cd /opt/openhands-sessions\n": "",
            }
        ).items():
            commands = commands.replace(named, actual)
        await shell.run(re.sub("^sudo systemctl .*", "", commands, flags=re.MULTILINE))
    async with running_server(copy) as restored, Clients(restored.url) as others:
        other = others.protocol2(sid)
        await other.connect()
        told = await other.until_event(lambda event: event.get("observation") == "error")
        assert told["extras"]["error_id"] == "AGENT_ERROR$ERROR_OUTCOME_UNKNOWN"
        assert not [event for event in other.events if event.get("observation") == "run"]
    (server.workspace(sid) / "go").touch()
    ran = await client.until_event(lambda event: event.get("observation") == "run")
    assert ran["content"].split() == ["begun", "over"]
