"""The command line as people use it: real programs, a real server, a real shell."""

import asyncio
import json
import os
import signal
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from openhands_sessions.config.session_key import read_key
from tests.support.command_line import CommandLine, RunningProgram

KEY = "open sesame"


@pytest.fixture
def shell(data_dir: Path) -> CommandLine:
    return CommandLine(data_dir)


@pytest.fixture
async def server(shell: CommandLine) -> AsyncIterator[RunningProgram]:
    """With a key that it makes, as everything that is called here finds by itself."""
    async with shell.start("serve", "--port", "0") as running:
        yield running


async def address(running: RunningProgram) -> str:
    return (await running.says("listens on")).split()[-1]


async def test_a_server_says_where_it_is_serves_and_drains(shell: CommandLine, server: RunningProgram) -> None:
    url = await address(server)
    parts = ("model", "data", "not isolated", "key in", "chat --server", "from a browser", "login-url", "health")
    greeting = [await server.says(part) for part in parts]
    assert str(shell.data_dir) in greeting[1]
    assert stat.S_IMODE(shell.data_dir.stat().st_mode) == 0o700
    async with aiohttp.ClientSession() as http, http.get(greeting[-1].split()[-1]) as response:
        assert response.status == 200

    told = await shell.run("chat", "--server", url, typed="$ echo one; exit 3\n")
    assert told.code == 0, told.err
    lines = told.out.splitlines()
    assert (lines[:2], lines[-2:]) == (["$ echo one; exit 3", "one"], ["exit code 3", "Done. What next?"])
    assert lines.count("one") == 1
    assert told.err.startswith("Conversation ")

    server.process.send_signal(signal.SIGTERM)
    _, log = await server.rest()
    assert server.process.returncode == 0
    assert [word for word in ("listening", "shutting down", "down") if word in log] == [
        "listening",
        "shutting down",
        "down",
    ]


async def test_a_taken_port_and_a_missing_server_are_told(
    shell: CommandLine, server: RunningProgram, tmp_path: Path
) -> None:
    port = (await address(server)).rpartition(":")[2]
    taken, checked = await asyncio.gather(
        CommandLine(tmp_path / "other").run("serve", "--port", port), shell.run("doctor", "--port", port, "--json")
    )
    assert taken.code == 1
    assert taken.err.splitlines()[-1].startswith(f"error: 127.0.0.1:{port} is in use by another program")
    assert checked.code == 0
    found = {check["name"]: check for check in json.loads(checked.out)["checks"]}
    assert found["port"]["found"] == f"127.0.0.1:{port}: a server of ours listens there already"
    assert {found[name]["status"] for name in ("python", "data folder", "database", "unix socket", "bash")} == {"ok"}
    with socket.socket() as strange:
        strange.bind(("127.0.0.1", 0))
        strange.listen()
        checked = await shell.run("doctor", "--port", str(strange.getsockname()[1]), "--json")
    assert checked.code == 1
    assert {check["name"]: check["status"] for check in json.loads(checked.out)["checks"]}["port"] == "fail"
    missing = await shell.run("chat", "--server", "http://127.0.0.1:9", typed="hello\n")
    assert missing.code == 1
    assert missing.err.startswith("error: the server at http://127.0.0.1:9 cannot be reached")


async def test_a_second_signal_ends_a_server_at_once(shell: CommandLine, server: RunningProgram) -> None:
    url = await address(server)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    head = f"POST /api/conversations HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Session-API-Key: {read_key(shell.data_dir)}\r\n"
    writer.write(f"{head}Content-Length: 9\r\n\r\n{{".encode())
    async with aiohttp.ClientSession() as http, http.get(f"{url}/health/ready"):
        pass  # the half request, which keeps the server, has arrived before this one
    server.process.send_signal(signal.SIGTERM)
    await server.says("shutting down", on_stderr=True)
    server.process.send_signal(signal.SIGTERM)
    assert await server.code() == 128 + signal.SIGTERM
    writer.close()
    assert await reader.read() == b""


async def test_a_guarded_server_asks_for_its_key_and_tells_it_to_nobody(shell: CommandLine) -> None:
    guarded = CommandLine(shell.data_dir, {"OHS_SERVER__SESSION_API_KEY": KEY, "OHS_LOG__FORMAT": "json"})
    async with guarded.start("serve", "--port", "0", "--host", "0.0.0.0") as server:
        url = await address(server)
        other = CommandLine(shell.data_dir, {"OHS_SESSION_API_KEY": "another"})
        short = CommandLine(shell.data_dir, {"OHS_SESSION_API_KEY": KEY})
        keyless, wrong, let_in, by_short_name, link, shown = await asyncio.gather(
            shell.run("sessions", "ls", "--server", url),
            other.run("sessions", "ls", "--server", url),
            guarded.run("sessions", "ls", "--server", url),
            short.run("sessions", "ls", "--server", url),
            short.run("login-url", "--server", url),
            guarded.run("config", "show"),
        )
        told = "does not take this session key, which you gave as OHS_SESSION_API_KEY"
        for refused, problem in ((keyless, "needs a session key: set OHS_SESSION_API_KEY"), (wrong, told)):
            assert refused.code == 1
            assert refused.err.startswith(f"error: the server at {url} {problem}")
        assert (let_in.code, by_short_name.code) == (0, 0)
        assert link.out.startswith(f"{url}/?token=")
        assert "<secret_hidden>" in shown.out
        server.process.send_signal(signal.SIGINT)
        said, log = await server.rest()
    assert server.process.returncode == 0
    events = [line["event"] for line in map(json.loads, log.splitlines()) if line["event"] != "request"]
    assert events == ["listening", *["a caller was refused"] * 2, "shutting down", "down"]
    assert "token=" not in said + log
    assert KEY not in said + log + shown.out + shown.err


async def test_a_server_makes_a_key_and_prints_a_link_that_logs_a_browser_in(shell: CommandLine) -> None:
    keyed = CommandLine(shell.data_dir, {"OHS_LOG__FORMAT": "json"})
    async with keyed.start("serve", "--port", "0") as server:
        url = await address(server)
        link = (await server.says("from a browser")).split()[3]
        checked, shown, more = await asyncio.gather(
            shell.run("doctor", "--port", url.rpartition(":")[2], "--json"),
            shell.run("config", "show"),
            shell.run("login-url", "--port", url.rpartition(":")[2]),
        )
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:  # also of an address
            for where, status in ((url, 401), (link, 200), (url, 200)):
                async with http.get(where) as answer:
                    assert (answer.status, answer.url.query_string) == (status, "")
            async with http.post(f"{url}/api/logout", headers={"Origin": url}) as answer:
                assert answer.status == 401
            async with http.get(more.out.strip()) as answer:
                assert answer.status == 200
        server.process.send_signal(signal.SIGTERM)
        said, log = await server.rest()
    key = read_key(shell.data_dir)
    assert key is not None
    assert stat.S_IMODE((shell.data_dir / "session_api_key").stat().st_mode) == 0o600
    found = {check["name"]: check for check in json.loads(checked.out)["checks"]}
    assert found["access"]["status"] == "ok"
    assert "made by the server" in shown.out
    for secret in (key, link.partition("=")[2], more.out.partition("=")[2].strip()):
        assert secret not in said + log + checked.out + shown.out


@pytest.mark.parametrize("way", ["flag", "empty key"])
async def test_a_server_without_a_key_says_so(shell: CommandLine, way: str) -> None:
    opened = CommandLine(shell.data_dir, {} if way == "flag" else {"OHS_SESSION_API_KEY": ""})
    async with opened.start("serve", "--port", "0", *(["--no-auth"] if way == "flag" else [])) as server:
        url = await address(server)
        assert "OPEN, without a key" in await server.says("access")
        assert (await server.says("from a browser")).split()[3] == url
        assert (await shell.run("sessions", "ls", "--server", url)).code == 0
        assert (await shell.run("login-url", "--server", url)).out == f"{url}\n"
        server.process.send_signal(signal.SIGTERM)
        _, log = await server.rest()
    assert "callers need no key: every user and program of this machine can run commands" in log
    assert not (shell.data_dir / "session_api_key").exists()


async def test_the_help_is_there_at_once(shell: CommandLine) -> None:
    """In seconds of the processor: how long a busy machine takes says nothing of the program."""
    times = []
    for arguments in (("--help",), ("chat", "--help"), ("--version",)):
        before = os.times()
        assert (await shell.run(*arguments)).code == 0
        after = os.times()
        times.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(times) < 0.6
