"""What the server's log says at its usual level: every change of a session, every refusal, every failure, no secret."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from structlog.testing import capture_logs

from openhands_sessions.adapters.auths.session_key import SessionKey
from openhands_sessions.core.errors import Unauthorized
from openhands_sessions.ports.access import Credentials
from openhands_sessions.server.identification import Identification
from openhands_sessions.server.limited_log import LINES_AT_ONCE
from tests.support.running_server import Server, prepared_server, running_server
from tests.support.server_clients import Clients, Rest
from tests.support.socket_connection import ConnectionRefused

KEY, WRONG = "a-key-of-the-operators", "a-key-that-was-guessed"
WORDS = "a tale of two cities"
SET_UP = ["Created", "Initializing", "RuntimeSetup", "AgentSetup", "MemorySetup", "ControllerSetup", "Ready"]
STEPS = """\
name: steps
replies:
  - when: fails
    steps: [{fail: {status: 401}}]
  - when: city
    steps:
      - {call: execute_bash, with: {command: sleep 2}}
      - {say: "a tale of two cities"}
  - when: cities
    steps:
      - {call: execute_bash, with: {command: echo one}}
      - {say: "a tale of two cities"}
"""


def lines(server: Server, event: str, **about: Any) -> list[dict[str, Any]]:
    """Those of an event whose fields have these values."""
    found = [json.loads(line) for line in server.log.splitlines()]
    return [line for line in found if line["event"] == event and about.items() <= line.items()]


def fields(found: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(line[name] for name in names) for line in found]


async def until_logged(server: Server, event: str, **about: Any) -> dict[str, Any]:
    """The first such line."""
    async with asyncio.timeout(60):
        while True:
            if found := lines(server, event, **about):
                return found[0]
            await asyncio.sleep(0.02)


async def test_the_life_of_a_session_is_one_line_for_each_state_with_its_owner_and_cause(data_dir: Path) -> None:
    async with running_server(data_dir) as server, Clients(server.url) as clients:
        sid = await clients.rest.create(llm_model=server.script("steps", STEPS))
        client = clients.protocol2(sid)
        await client.connect()
        said = await client.say(WORDS)
        await client.until_state("awaiting_user_input", after=said)
        await clients.rest.ask("POST", f"/api/conversations/{sid}/stop")
        await until_logged(server, "session state", state="Closed")
        assert await clients.rest.delete(sid)
        found = lines(server, "session state")
        assert [line["state"] for line in found] == [*SET_UP, "Running", "Ready", "Closing", "Closed"]
        assert {(line["conversation_id"], line["owner"], line["level"]) for line in found} == {(sid, "local", "info")}
        assert [line["cause"] for line in found if line["state"] in ("Created", "Closing", "Closed")] == [
            *("asked for", "stopped", "stopped")
        ]
        for event in ("a conversation was created", "a conversation was deleted"):
            assert fields(lines(server, event), "conversation_id", "owner") == [(sid, "local")]
        for event in ("a sandbox was started", "a sandbox was removed"):
            assert fields(lines(server, event), "conversation_id") == [(sid,)]
        assert WORDS not in server.log
        assert "echo one" not in server.log


@pytest.mark.parametrize(
    ("repository", "settings", "stage"),
    [("file:///no/such/repository", {}, "MemorySetup"), (None, {"llm_model": "scripted:none"}, "AgentSetup")],
    ids=["clone", "model"],
)
async def test_a_set_up_that_failed_is_a_line_that_says_why(
    data_dir: Path, repository: str | None, settings: dict[str, str], stage: str
) -> None:
    local = {"OHS_RUNTIME__LOCAL_REPOSITORIES": "true"}
    async with running_server(data_dir, local) as server, Rest(server.url) as rest:
        body = {"settings": settings, "initial_user_msg": WORDS, "repository": repository}
        status, made = await rest.ask("POST", "/api/conversations", {k: v for k, v in body.items() if v is not None})
        assert status == 200, made
        line = await until_logged(server, "session state", state="Error")
    about = (line["level"], line["conversation_id"], line["owner"], line["cause"], line["stage"])
    assert about == ("info", made["conversation_id"], "local", "stage_failed", stage)
    assert line["problem"].startswith("the session could not be set up: ")
    assert WORDS not in server.log


async def test_a_model_call_that_failed_for_good_is_a_line_without_what_the_provider_said(data_dir: Path) -> None:
    async with running_server(data_dir) as server, Clients(server.url) as clients:
        model = server.script("steps", STEPS)
        sid = await clients.rest.create(f"it fails with {WORDS}", llm_model=model, llm_retries=0)
        line = await until_logged(server, "a model call failed for good")
        assert (line["level"], line["conversation_id"], line["model"]) == ("info", sid, model)
        assert line["cause"] == "STATUS$ERROR_LLM_AUTHENTICATION"
        assert WORDS not in server.log


async def test_refused_keys_and_origins_are_lines_without_the_key(data_dir: Path) -> None:
    guarded = {"OHS_SERVER__SESSION_API_KEY": KEY}
    async with running_server(data_dir, guarded) as server, Clients(server.url, key=WRONG) as clients:
        http = clients.rest.http
        await clients.rest.ask("GET", "/api/conversations")
        for given in ({"X-Session-API-Key": "null"}, {"X-Session-API-Key": KEY, "Origin": "http://evil.example"}):
            async with http.get(f"{server.url}/api/settings?session_api_key=null", headers=given) as answer:
                assert answer.status in (401, 403)
        for visitor in (clients.operator(), clients.protocol2("talk")):
            with pytest.raises(ConnectionRefused):
                await visitor.connect()
        found = lines(server, "a caller was refused")
        assert fields(found, "level", "cause", "address", "path") == [
            ("warning", "wrong key", "127.0.0.1", "/api/conversations"),
            ("warning", "no key", "127.0.0.1", "/api/settings"),
            ("warning", "foreign origin", "127.0.0.1", "/api/settings"),
            ("warning", "wrong key", "127.0.0.1", "/socket.io/"),
            ("warning", "wrong key", "127.0.0.1", "/socket.io/"),
        ]
        assert [line.get("given") for line in found] == [None, None, "http://evil.example", None, None]
        assert KEY not in server.log
        assert WRONG not in server.log


async def test_a_foreign_host_name_is_a_line(server: Server, clients: Clients) -> None:
    headers = {"Host": "evil.example:80"}
    async with clients.rest.http.get(f"{server.url}/api/settings", headers=headers) as answer:
        assert answer.status == 403
    assert fields(lines(server, "a caller was refused"), "cause", "given") == [("foreign host name", "evil.example")]


async def test_many_wrong_keys_are_few_lines_and_the_next_says_how_many_were_left_out() -> None:
    now = [0.0]
    callers = Identification(SessionKey(KEY), clock=lambda: now[0])

    async def knock(times: int) -> None:
        for _ in range(times):
            with pytest.raises(Unauthorized):
                await callers.identify(make_mocked_request("GET", "/x%0Ay?session_api_key=z"), Credentials(key=WRONG))

    with capture_logs() as found:
        await knock(1_000)
        now[0] += 1.0
        await knock(1)
    assert len(found) == LINES_AT_ONCE + 1
    assert found[-1]["left_out"] == 980
    assert "/x%0Ay" in str(found[-1])
    assert "session_api_key" not in str(found)


async def test_a_turn_that_was_cut_off_is_a_line_of_the_next_server(data_dir: Path) -> None:
    async with prepared_server(data_dir) as server, Clients(server.url) as clients:
        await server.start()
        sid = await clients.rest.create("one city", llm_model=server.script("steps", STEPS))
        await until_logged(server, "a sandbox was started")
        await server.killed()
        await server.start()
        await until_logged(server, "recovery is done")
        found = lines(server, "a conversation is recovered")
        assert fields(found, "conversation_id", "owner", "cause") == [(sid, "local", "a turn was cut off")]
        assert fields(lines(server, "session state", state="Created"), "cause") == [("asked for",), ("recovery",)]


@pytest.mark.parametrize(
    ("settings", "written"),
    [
        ({"OHS_LOG__ACCESS": "false"}, False),
        ({"OHS_LOG__FORMAT": "console"}, False),
        ({"OHS_LOG__FORMAT": "console", "OHS_LOG__ACCESS": "true"}, True),
    ],
    ids=["json, off", "console", "console, on"],
)
async def test_requests_are_logged_where_the_log_is_json_or_they_are_asked_for(
    data_dir: Path, settings: dict[str, str], written: bool
) -> None:
    async with running_server(data_dir, settings) as server, Rest(server.url) as rest:
        await rest.ask("GET", "/api/conversations", limit=7)
        await server.stopped()
        assert ("/api/conversations" in server.log) == written
        assert "limit=7" not in server.log


async def test_a_line_of_a_request_says_who_asked_and_how_long_it_took(data_dir: Path) -> None:
    async with running_server(data_dir, {"OHS_SERVER__SESSION_API_KEY": KEY}) as server:
        async with Clients(server.url, key=KEY) as clients:
            sid = await clients.rest.create()
            client = clients.protocol2(sid)
            await client.connect()
            await clients.rest.ask("GET", "/api/conversations/unknown/events", limit=7)
            await clients.rest.ask("GET", "/health/live", session_api_key=KEY)
        await server.stopped()
        found = [line for line in lines(server, "request") if line["path"] != "/health/ready"]
        assert set(fields(found, "method", "path", "status", "principal")) == {
            ("POST", "/api/conversations", 200, "local"),
            ("GET", "/api/conversations/unknown/events", 404, "local"),
            ("GET", "/health/live", 200, None),
            ("GET", "/socket.io/", 101, "local"),
        }
        assert len(found) == 4
        assert all(line["ms"] >= 0 for line in found)
        assert KEY not in server.log
        assert "limit" not in server.log
