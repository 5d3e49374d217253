"""Credentials for tools: refreshed by their owner, used by the next call of a live session, shown nowhere."""

import json
from pathlib import Path
from typing import Any

from openhands_sessions.config.config import Config, LlmSection
from tests.support.in_process_server import in_process_server
from tests.support.model_replies import Call, Reply
from tests.support.model_server import model_server
from tests.support.odd_mcp_http import odd_mcp_http
from tests.support.running_server import Server, discard_sandboxes
from tests.support.server_clients import Clients
from tests.support.socket_clients import Protocol2Client

OLD, NEW = "old-token-of-ada-1", "new-token-of-ada-2"
WHICH = 'case "$TOKEN" in old*1) echo it is the first;; new*2) echo it is the second;; esac; echo "say $TOKEN"'


async def turn(client: Protocol2Client, text: str) -> str:
    """What the command of this message has printed."""
    said = await client.say(f"$ {text}")
    await client.until_state("awaiting_user_input", after=said)
    [done] = [event for event in client.events if event["id"] > said and event.get("observation") == "run"]
    printed: str = done["content"]
    return printed


async def replace(clients: Clients, name: str, value: str) -> tuple[int, Any]:
    return await clients.rest.ask("PUT", f"/api/secrets/{name}/value", {"value": value})


async def test_the_next_command_of_a_live_session_has_the_new_value(server: Server, clients: Clients) -> None:
    await clients.rest.ask("POST", "/api/secrets", {"name": "TOKEN", "value": OLD, "description": "for the tool"})
    sid = await clients.rest.create("echo begin")
    client = clients.protocol2(sid)
    await client.connect()
    await client.until_state("awaiting_user_input")
    assert (await turn(client, WHICH)).splitlines()[:2] == ["it is the first", "say <secret_hidden>"]
    assert (await replace(clients, "TOKEN", NEW))[0] == 200
    output = await turn(client, WHICH)
    assert output.splitlines()[:2] == ["it is the second", "say <secret_hidden>"]
    said = await client.say(f"forget {OLD} and {NEW}")
    await client.until_state("awaiting_user_input", after=said)
    log = json.dumps(await clients.rest.events(sid))
    assert OLD not in log
    assert NEW not in log
    assert "forget <secret_hidden> and <secret_hidden>" in log
    _, listed = await clients.rest.ask("GET", "/api/secrets")
    assert listed == {"custom_secrets": [{"name": "TOKEN", "description": "for the tool"}]}


async def test_an_unknown_secret_or_a_wrong_value_is_refused(server: Server, clients: Clients) -> None:
    assert (await replace(clients, "NOSUCH", NEW))[0] == 404
    await clients.rest.ask("POST", "/api/secrets", {"name": "TOKEN", "value": OLD})
    for value in ("", "with\x00nul"):
        status, told = await replace(clients, "TOKEN", value)
        assert 400 <= status < 500, told


async def test_the_next_call_of_a_live_session_has_the_new_key_of_its_mcp_server(
    data_dir: Path, free_port: int
) -> None:
    ping = Reply(calls=[Call(name="mcp_127_0_0_1_ping", arguments={})])
    replies = [ping, Reply(text="Done."), ping, Reply(text="Done.")]
    async with odd_mcp_http(free_port) as mcp, model_server(replies) as model:
        llm = LlmSection(model="openai/own", base_url=model.url, api_key="sk-operator")
        async with in_process_server(Config(data_dir=data_dir, llm=llm)) as server, Clients(server.url) as clients:

            async def give(key: str) -> None:
                config = {"shttp_servers": [{"url": mcp.url, "api_key": key}]}
                status, told = await clients.rest.ask("POST", "/api/settings", {"mcp_config": config})
                assert status == 200, told

            await give(OLD)
            client = clients.protocol2(await clients.rest.create("go"))
            await client.connect()
            first = await client.until_state("awaiting_user_input")
            await give(NEW)
            await client.say(f"go on, and forget {NEW}")
            await client.until_state("awaiting_user_input", after=first["id"])
            log = json.dumps(await clients.rest.events(client.sid))
        await discard_sandboxes(data_dir)
    assert mcp.keys == [f"Bearer {OLD}", f"Bearer {NEW}"]
    assert OLD not in log
    assert NEW not in log
    assert "go on, and forget <secret_hidden>" in log
