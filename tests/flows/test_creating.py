"""What a conversation is made with: every key of the create body has its effect, over REST and over the socket."""

import asyncio
import json
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from openhands_sessions.server.rest.conversations import READY_WITHIN
from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients
from tests.support.socket_clients import Client

PICTURE = "data:image/png;base64,iVBORw0KGgo="
SEEING = """
name: seeing
vision: true
replies:
  - steps: [{say: "I see."}]
"""
SETTINGS = {"OHS_RUNTIME__LOCAL_REPOSITORIES": "true"}


@pytest.fixture
def server(shared_server: Server) -> Server:
    return shared_server


@pytest.fixture
def origin(tmp_path: Path) -> str:
    folder = tmp_path / "origin"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    for words in (("init", "-q", "-b", "main"), ("add", "."), ("commit", "-qm", "first"), ("branch", "other")):
        subprocess.run(["git", *who, *words], cwd=folder, check=True)
    return f"file://{folder}"


async def test_every_key_of_the_body_has_its_effect(data_dir: Path, origin: str) -> None:
    async with running_server(data_dir, SETTINGS) as server, Clients(server.url) as clients:
        model = server.script("seeing", SEEING)
        for begin in (_by_rest, _by_socket):
            await _talk(clients, begin, model)
            await _repository(clients, begin, origin)
            await _task(clients, begin, origin)
            await _microagent(clients, begin, origin)
        for query, count in (({"conversation_trigger": "suggested_task"}, 2), ({"selected_repository": origin}, 6)):
            _, page = await clients.rest.ask("GET", "/api/conversations", **query)
            assert len(page["results"]) == count
        _, page = await clients.rest.ask("GET", "/api/microagent-management/conversations", selected_repository=origin)
        assert [each["trigger"] for each in page["results"]] == ["microagent_management"] * 2
        _, page = await clients.rest.ask("GET", "/api/microagent-management/conversations", selected_repository="a/b")
        assert page["results"] == []


async def _talk(clients: Clients, begin: Any, model: str) -> None:
    client = await begin(
        clients,
        initial_user_msg="what is it?",
        image_urls=[PICTURE],
        conversation_instructions="Speak like a pirate.",
        settings={"llm_model": model},
    )
    await client.until_state("awaiting_user_input")
    system = next(event for event in client.events if event.get("action") == "system")
    assert "Speak like a pirate." in system["args"]["content"]
    [recalled] = _recalled(client)
    assert recalled["conversation_instructions"] == "Speak like a pirate."
    [said] = _messages(client, "user")
    assert (said["content"], said["image_urls"]) == ("what is it?", [PICTURE])
    assert _messages(client, "agent")[0]["content"] == "I see."
    picture = await begin(clients, image_urls=[PICTURE], settings={"llm_model": model})
    await picture.until_state("awaiting_user_input")
    assert [said["image_urls"] for said in _messages(picture, "user")] == [[PICTURE]]
    nothing = await begin(clients, initial_user_msg="", image_urls=[], mcp_config={"sse_servers": []})
    await nothing.until_state("awaiting_user_input")
    assert _messages(nothing, "user") == []


async def _repository(clients: Clients, begin: Any, origin: str) -> None:
    client = await begin(
        clients, repository=origin, git_provider="github", selected_branch="other", initial_user_msg="$ git branch"
    )
    ran = await client.until_event(lambda event: event.get("content", "").strip().endswith("* other"))
    assert ran["observation"] == "run"
    [recalled] = _recalled(client)
    names = [recalled[name] for name in ("repo_name", "repo_branch", "repo_directory", "working_dir")]
    assert names == [origin, "other", "/workspace", "/workspace"]
    shown = await clients.rest.describe(client.sid)
    assert (shown["selected_repository"], shown["selected_branch"], shown["git_provider"], shown["trigger"]) == (
        origin,
        "other",
        "github",
        "gui",
    )


async def _task(clients: Clients, begin: Any, origin: str) -> None:
    task = {
        "git_provider": "github",
        "task_type": "OPEN_ISSUE",
        "repo": origin,
        "issue_number": 17,
        "title": "It {fails}",
        "more": "is passed over",
    }
    client = await begin(clients, suggested_task=task, initial_user_msg="Be quick.")
    await client.until_state("awaiting_user_input")
    [said] = _messages(client, "user")
    assert said["content"].startswith("Work on issue #17 of ")
    assert "(It {fails})" in said["content"]
    assert said["content"].endswith("\n\nBe quick.")
    shown = await clients.rest.describe(client.sid)
    assert (shown["trigger"], shown["selected_repository"]) == ("suggested_task", origin)


async def _microagent(clients: Clients, begin: Any, origin: str) -> None:
    wanted = {"repo": origin, "git_provider": "github", "title": " How to release "}
    client = await begin(clients, create_microagent=wanted, initial_user_msg="Write down how to release.")
    await client.until_state("awaiting_user_input")
    assert _messages(client, "user")[0]["content"] == "Write down how to release."
    shown = await clients.rest.describe(client.sid)
    assert (shown["trigger"], shown["selected_repository"], shown["title"]) == (
        "microagent_management",
        origin,
        "How to release",
    )


async def _by_rest(clients: Clients, **body: Any) -> Client:
    status, made = await clients.rest.ask("POST", "/api/conversations", body)
    assert (status, made["status"], made["message"]) == (200, "ok", None), made
    client = clients.protocol2(made["conversation_id"])
    await client.connect()
    return client


async def _by_socket(clients: Clients, **body: Any) -> Client:
    client = clients.protocol2(f"by-socket-{len(json.dumps(body))}")
    await client.connect(create=body)
    return client


def _recalled(client: Client) -> list[dict[str, Any]]:
    return [event["extras"] for event in client.events if event.get("observation") == "recall"]


def _messages(client: Client, source: str) -> list[dict[str, Any]]:
    said = [event for event in client.events if event.get("action") == "message" and event["source"] == source]
    return [event["args"] for event in said]


async def test_a_create_and_a_start_are_answered_when_the_session_is_ready(server: Server, clients: Clients) -> None:
    for _ in range(3):
        sid = await _answered_when_ready(clients, "/api/conversations", {})
    await clients.rest.ask("POST", f"/api/conversations/{sid}/stop")
    await _answered_when_ready(clients, f"/api/conversations/{sid}/start", {"providers_set": []})


async def _answered_when_ready(clients: Clients, path: str, body: object) -> str:
    """Unless this machine is so busy that the moment was over before."""
    before = asyncio.get_running_loop().time()
    _, answer = await clients.rest.ask("POST", path, body)
    took = asyncio.get_running_loop().time() - before
    sid = str(answer["conversation_id"])
    shown = await clients.rest.describe(sid)
    if took < READY_WITHIN:
        assert answer["conversation_status"] == "RUNNING"
        assert (shown["status"], shown["runtime_status"]) == ("RUNNING", "STATUS$READY")
    return sid


async def test_a_create_waits_no_longer_than_a_moment_for_a_session_that_takes_long(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        await _waits_no_longer(data_dir, port)


async def _waits_no_longer(data_dir: Path, port: int) -> None:
    async with running_server(data_dir, SETTINGS) as server, Clients(server.url) as clients:
        before = asyncio.get_running_loop().time()
        body = {"repository": f"git://127.0.0.1:{port}/never", "initial_user_msg": "hello"}
        status, made = await clients.rest.ask("POST", "/api/conversations", body)
        took = asyncio.get_running_loop().time() - before
        assert (status, made["conversation_status"]) == (200, "STARTING")
        assert took >= READY_WITHIN
        operator = clients.operator()
        await operator.connect()
        await operator.until(lambda: operator.state_of(made["conversation_id"]) == "MemorySetup")
        shown = await clients.rest.describe(made["conversation_id"])
        assert (shown["status"], shown["runtime_status"]) == ("STARTING", "STATUS$SETTING_UP_WORKSPACE")
        assert await clients.rest.delete(made["conversation_id"]) is True
