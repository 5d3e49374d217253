"""What the web client asks in normal use besides conversations, logs, files and settings. One server for all of it."""

import asyncio
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.support.answer_shapes import mismatch, refused
from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients

PAGE = "<!doctype html><title>the client</title>"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@pytest.fixture
def server(shared_server: Server) -> Server:
    return shared_server


@pytest.fixture
def client_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "client"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text(PAGE)
    (folder / "assets" / "app-1.js").write_text("run()")
    (folder / ".env").write_text("KEY=hidden")
    (tmp_path / "outside.txt").write_text("outside")
    (folder / "link.txt").symlink_to(tmp_path / "outside.txt")
    return folder


async def test_what_the_web_client_asks_is_answered(data_dir: Path, client_dir: Path) -> None:
    async with (
        running_server(data_dir, {"OHS_SERVER__CLIENT_DIR": str(client_dir)}) as server,
        Clients(server.url) as clients,
    ):
        for part in (_options, _providers, _probes, _details, _commands, _lists, _times, _unknown, _client):
            await part(clients)


async def test_with_a_key_the_page_asks_for_it_and_its_files_are_open(data_dir: Path, client_dir: Path) -> None:
    settings = {"OHS_SERVER__CLIENT_DIR": str(client_dir), "OHS_SERVER__SESSION_API_KEY": "a-key"}
    async with running_server(data_dir, settings) as server, Clients(server.url) as clients:
        for path, status in (("/", 401), ("/conversations/x", 401), ("/assets/app-1.js", 200)):
            assert (await _page(clients, path))[0] == status
        assert (await clients.rest.ask("GET", "/alive"))[0] == 200
        for path in ("/api/settings", "/api/options/config", "/api/nothing", "/server_info"):
            assert (await clients.rest.ask("GET", path))[0] in (401, 404), path
        assert (await clients.rest.ask("GET", "/api/settings"))[0] == 401


async def _options(clients: Clients) -> None:
    ask = clients.rest.ask
    status, config = await ask("GET", "/api/options/config")
    assert (status, config["APP_MODE"], config["FEATURE_FLAGS"]) == (
        200,
        "oss",
        {"ENABLE_BILLING": False, "HIDE_LLM_SETTINGS": False},
    )
    assert {"GITHUB_CLIENT_ID", "POSTHOG_CLIENT_KEY"} < config.keys()
    _, agents = await ask("GET", "/api/options/agents")
    assert "CodeActAgent" in agents
    _, models = await ask("GET", "/api/options/models")
    assert "gpt-4o" in models
    status, analyzers = await ask("GET", "/api/options/security-analyzers")
    assert (status, all(isinstance(name, str) for name in analyzers)) == (200, True)


def _needs_a_token(answer: tuple[int, Any]) -> bool:
    return answer[0] == 401 and not mismatch(refused("no_provider_token"), answer[1])


async def _providers(clients: Clients) -> None:
    ask = clients.rest.ask
    for path in ("info", "repositories", "search/repositories", "search/branches", "repository/branches"):
        assert _needs_a_token(await ask("GET", f"/api/user/{path}"))
    assert _needs_a_token(await ask("GET", "/api/user/installations", provider="github"))
    assert _needs_a_token(await ask("GET", "/api/user/suggested-tasks"))
    for name, below in product(("a", "a/b", "a%2Fb", "a/b/c"), ("microagents", "microagents/content")):
        assert _needs_a_token(await ask("GET", f"/api/user/repository/{name}/{below}")), name
    await ask("POST", "/api/add-git-providers", {"provider_tokens": {"github": {"token": "ghp_x", "host": ""}}})
    assert await ask("GET", "/api/user/repositories") == (200, [])
    assert (await ask("GET", "/api/user/info"))[1]["login"] == ""
    assert await ask("GET", "/api/user/repository/a/b/microagents") == (200, [])
    assert (await ask("GET", "/api/user/repository/a/b/microagents/content"))[0] == 404
    await ask("POST", "/api/unset-provider-tokens")
    assert _needs_a_token(await ask("GET", "/api/user/info"))


async def _probes(clients: Clients) -> None:
    ask = clients.rest.ask
    assert await ask("GET", "/alive") == (200, {"status": "ok"})
    assert await ask("GET", "/health") == (200, "OK")
    status, info = await ask("GET", "/server_info")
    assert (status, info["uptime"] >= 0, info["resources"]["memory"]["rss"] > 0) == (200, True, True)


async def _details(clients: Clients) -> None:
    ask = clients.rest.ask
    sid = await clients.rest.create("remember the milk")
    below = f"/api/conversations/{sid}"
    assert await ask("GET", f"{below}/config") == (200, {"runtime_id": None, "session_id": sid})
    assert await ask("GET", f"{below}/vscode-url") == (200, {"vscode_url": None})
    assert await ask("GET", f"{below}/web-hosts") == (200, {"hosts": {}})
    assert await ask("POST", f"{below}/exp-config", {}) == (200, True)
    client = clients.protocol2(sid)
    await client.connect()
    await client.until_state("awaiting_user_input")
    status, told = await ask("GET", f"{below}/remember-prompt", event_id=client.last)
    assert (status, told["status"], "user: remember the milk" in told["prompt"]) == (200, "success", True)
    assert await ask("GET", f"{below}/microagents") == (200, {"microagents": []})
    folder = ".openhands/microagents"
    written = rf"printf -- '---\ntriggers: [git]\n---\nRebase.' > {folder}/git.md"
    said = await client.say(f"$ mkdir -p {folder}; {written}")
    await client.until_state("awaiting_user_input", after=said)
    known = {"name": "git", "type": "knowledge", "content": "Rebase.", "triggers": ["git"], "inputs": [], "tools": []}
    assert await ask("GET", f"{below}/microagents") == (200, {"microagents": [known]})
    given = {"email": "a@b", "version": "1", "permissions": "private", "polarity": "positive", "feedback": "x"}
    status, stored = await ask("POST", f"{below}/submit-feedback", {**given, "trajectory": [1]})
    assert status == 200
    assert {key: stored[key] for key in given} == given
    assert stored["conversation_id"] == sid
    assert (await ask("POST", f"{below}/submit-feedback", {"polarity": "middling"}))[0] == 422
    for path in ("config", "vscode-url", "web-hosts", "remember-prompt", "microagents"):
        assert (await ask("GET", f"/api/conversations/unknown/{path}"))[0] == 404


async def _commands(clients: Clients) -> None:
    ask = clients.rest.ask
    sid = await clients.rest.create()
    client = clients.protocol2(sid)
    await client.connect()
    await client.until_state("awaiting_user_input")
    first = client.last
    status, accepted = await ask("POST", f"/api/conversations/{sid}/message", {"message": "$ echo one"})
    assert (status, accepted) == (200, {"success": True, "id": first + 1, "turn": first + 1})
    await client.until_state("awaiting_user_input", after=first)
    event = {"action": "message", "args": {"content": "$ echo two"}}
    before = client.last
    status, accepted = await ask("POST", f"/api/conversations/{sid}/events", event)
    assert (status, accepted) == (200, {"success": True, "id": before + 1, "turn": before + 1})
    await client.until_state("awaiting_user_input", after=before)
    ran = [event["args"]["command"] for event in client.events if event.get("action") == "run"]
    assert ran == ["echo one", "echo two"]
    for path, body in (("message", {}), ("message", {"message": ""}), ("events", {"action": "no"}), ("events", {})):
        assert (await ask("POST", f"/api/conversations/{sid}/{path}", body))[0] == 422


async def _lists(clients: Clients) -> None:
    ask = clients.rest.ask
    _, every = await ask("GET", "/api/conversations", limit=100)
    assert len(every["results"]) == 2
    assert (await ask("GET", "/api/conversations", conversation_trigger="gui"))[1] == every
    for query in ({"conversation_trigger": "slack"}, {"selected_repository": "a/b"}):
        assert await ask("GET", "/api/conversations", **query) == (200, {"results": [], "next_page_id": None})
    assert (await ask("GET", "/api/conversations", conversation_trigger="smoke"))[0] == 422
    assert (await ask("GET", "/api/microagent-management/conversations"))[1]["results"] == []


async def _times(clients: Clients) -> None:
    sid = await clients.rest.create()
    client = clients.protocol2(sid)
    await client.connect()
    said = await client.say("hello")
    last = await client.until_state("awaiting_user_input", after=said)
    shown = await clients.rest.describe(sid)
    assert shown["last_updated_at"] == last["timestamp"] > shown["created_at"]
    await clients.rest.ask("POST", f"/api/conversations/{sid}/stop")
    assert (await clients.rest.describe(sid))["last_updated_at"] >= last["timestamp"]


async def _unknown(clients: Clients) -> None:
    for path in ("/api/keys", "/api/billing/credits", "/api/security/policy", "/api", "/mcp/mcp", "/health/x"):
        assert (await clients.rest.ask("GET", path))[0] == 404
    for method, path in product(METHODS, ("/api/authenticate", "/api/nothing", "/api/keys", "/api", "/mcp/mcp")):
        assert (await clients.rest.ask(method, path))[0] == 404, (method, path)
    for method, path, allowed in (
        ("PUT", "/api/settings", {"GET", "HEAD", "POST"}),
        ("DELETE", "/api/options/config", {"GET", "HEAD"}),
        ("POST", "/health", {"GET", "HEAD"}),
        ("POST", "/conversations/abc", {"GET", "HEAD"}),
    ):
        async with clients.rest.http.request(method, f"{clients.rest.url}{path}") as answer:
            assert (answer.status, (await answer.json())["code"]) == (405, "method_not_allowed"), (method, path)
            assert set(answer.headers["Allow"].split(",")) == allowed


async def _client(clients: Clients) -> None:
    for path in ("/", "/conversations/abc", "/settings/mcp", "/index.html", "/nothing/here"):
        status, headers, text = await _page(clients, path)
        assert (status, headers["Content-Type"], text) == (200, "text/html", PAGE), path
        assert "no-store" in headers["Cache-Control"]
    status, headers, text = await _page(clients, "/assets/app-1.js")
    assert (status, text, "immutable" in headers["Cache-Control"]) == (200, "run()", True)
    assert (await _page(clients, "/assets/gone.js"))[0] == 404
    for path in (
        "/../outside.txt",
        "/..%2foutside.txt",
        "/%2e%2e/outside.txt",
        "/link.txt",
        "/.env",
        "/a%00b",
        "//etc",
    ):
        assert (await _page(clients, path))[2] == PAGE, path


async def _page(clients: Clients, path: str) -> tuple[int, Any, str]:
    """As it stands: nothing in the path is tidied up before it is sent."""
    host, port = clients.rest.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    head, _, content = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines), content.decode()
