"""An agent that calls the tool of an MCP server, which runs in the sandbox, end to end."""

import re
import sys

import pytest

from tests.support.mcp_server import PROGRAM
from tests.support.model_replies import Call, Reply
from tests.support.model_server import MODEL, model_server
from tests.support.running_server import Server, processes_of, still_running
from tests.support.server_clients import Clients

JOB = {
    "sum": [
        Reply(calls=[Call(name="mcp_small_add", arguments={"first": 20, "second": 22})]),
        Reply(text="", calls=[Call(name="finish", arguments={"message": "The sum is 42."})]),
    ]
}


async def test_a_tool_of_a_server_in_the_sandbox_is_called(server: Server, clients: Clients) -> None:
    small = {
        "name": "small",
        "command": sys.executable,
        "args": ["-P", str(PROGRAM), "stdio"],
        "env": {"K": "secret-k"},
    }
    gone = {"url": "http://127.0.0.1:9/mcp", "api_key": "secret-key"}
    async with model_server(JOB) as model:
        settings = {"llm_model": f"openai/{MODEL}", "llm_base_url": model.url, "llm_api_key": "sk-loopback"}
        body = {"settings": settings, "mcp_config": {"stdio_servers": [small], "shttp_servers": [gone]}}
        status, made = await clients.rest.ask("POST", "/api/conversations", body)
        assert status == 200, made
        client = clients.protocol2(made["conversation_id"])
        await client.connect()
        await client.until_state("awaiting_user_input", within=60)
        await client.say("please [[sum]]")
        await client.until_state("finished", within=60)
    [problem] = [event for event in client.events if event.get("observation") == "error"]
    assert problem["content"].startswith("The MCP server 127.0.0.1 is not used: it cannot be reached")
    [called] = [event for event in client.events if event.get("action") == "call_tool_mcp"]
    assert called["args"]["arguments"] == {"first": 20, "second": 22}
    [answer] = [event for event in client.events if event.get("observation") == "mcp"]
    assert (answer["cause"], answer["content"]) == (called["id"], "42")
    assert "secret-k" not in str(client.events)
    assert "secret-k" not in (server.data_dir / "sessions.db").read_bytes().decode("latin-1")
    speaking = [process for process in processes_of(PROGRAM) if "stdio" in process.command]
    assert speaking
    await clients.rest.ask("POST", f"/api/conversations/{made['conversation_id']}/stop")
    assert not await still_running(speaking), "a server of MCP outlived its session"


@pytest.mark.parametrize(
    ("name", "sees"), [pytest.param("gpt-4o", True, marks=pytest.mark.long), pytest.param(MODEL, False)]
)
async def test_a_big_screenshot_reaches_the_model_or_the_workspace_and_the_server_goes_on(
    clients: Clients, name: str, sees: bool
) -> None:
    small = {"name": "small", "command": sys.executable, "args": ["-P", str(PROGRAM), "stdio"]}
    replies = [
        Reply(calls=[Call(name="mcp_small_screenshot", arguments={"size": 900_000})]),
        Reply(calls=[Call(name="mcp_small_add", arguments={"first": 1, "second": 2})]),
        Reply(calls=[Call(name="finish", arguments={"message": "done"})]),
    ]
    async with model_server({"look": replies}) as model:
        settings = {"llm_model": f"openai/{name}", "llm_base_url": model.url, "llm_api_key": "sk-loopback"}
        body = {"settings": settings, "mcp_config": {"stdio_servers": [small]}}
        status, made = await clients.rest.ask("POST", "/api/conversations", body)
        assert status == 200, made
        sid = made["conversation_id"]
        client = clients.protocol2(sid)
        await client.connect()
        await client.until_state("awaiting_user_input", within=60)
        await client.say("please [[look]]")
        await client.until_state("finished", within=60)
        asked = [request for request in model.requests if request.body.get("tools")]
    shown, added = [event for event in client.events if event.get("observation") == "mcp"]
    assert added["content"] == "3"
    assert ("image_urls" in shown["extras"]) == sees
    assert ("data:image/png;base64,iVBORw0KGgo" in str(asked[1].messages)) == sees
    file = re.search(r"is the file (\S+) in the workspace", shown["content"])
    assert (file is None) == sees
    if file is not None:
        status, names = await clients.rest.ask("GET", f"/api/conversations/{sid}/list-files?path=mcp_files")
        assert (status, [f"mcp_files/{each}" for each in names]) == (200, [file[1]])


async def test_what_is_no_configuration_is_refused(clients: Clients) -> None:
    body = {"mcp_config": {"sse_servers": ["file:///etc/passwd"]}}
    status, answer = await clients.rest.ask("POST", "/api/conversations", body)
    assert (status, answer["field"].split(".")[0]) == (422, "mcp_config")
