"""JSON that is nested too deeply is refused wherever it comes in, by the name of its field, and nothing of it stays."""

import json
from collections.abc import AsyncIterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.support.raw_socket import RawSocket
from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients

DEPTHS = (101, 260, 900, 1_010)
LIMIT = "levels deep"
UNREAD = ("/api/conversations/{conversation_id}/exp-config",)
"""Routes that pass their body over, whatever it is."""


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


def servers(levels: int) -> str:
    """MCP servers with a key that nobody knows."""
    return f'{{"shttp_servers":[{{"url":"http://x.y","z":{nested(levels)}}}]}}'


@pytest.fixture
async def server(data_dir: Path) -> AsyncIterator[Server]:
    async with running_server(data_dir, {"OHS_LIMITS__MESSAGES_PER_SECOND": "0"}) as ready:
        yield ready


async def posted(clients: Clients, method: str, path: str, text: str) -> tuple[int, Any]:
    headers = {"Content-Type": "application/json"}
    async with clients.rest.http.request(method, f"{clients.rest.url}{path}", data=text, headers=headers) as answer:
        return answer.status, await answer.json()


async def bodies(clients: Clients) -> Sequence[tuple[str, str]]:
    """Every route that takes JSON and looks at it."""
    _, document = await clients.rest.ask("GET", "/api/openapi.json")
    return [
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if "application/json" in operation.get("requestBody", {}).get("content", {}) and path not in UNREAD
    ]


async def test_every_route_refuses_it(server: Server, clients: Clients) -> None:
    sid = await clients.rest.create()
    routes = await bodies(clients)
    assert len(routes) >= 10
    for levels, (method, path) in product(DEPTHS, routes):
        here = path.replace("{conversation_id}", sid).replace("{name}", "A")
        status, answer = await posted(clients, method, here, f'{{"known":1,"deep":{nested(levels)}}}')
        assert (status, answer.get("field")) == (422, "deep"), (here, answer)
        assert LIMIT in answer["message"]
        status, answer = await posted(clients, method, here, nested(levels))
        assert (status, answer.get("field")) == (422, "the body"), (here, answer)
    assert "Traceback" not in server.log


async def test_settings_stay_as_they_were(clients: Clients) -> None:
    assert await clients.rest.ask("POST", "/api/settings", {"language": "de"}) == (200, {"message": "Settings stored"})
    for levels in DEPTHS:
        status, answer = await posted(clients, "POST", "/api/settings", f'{{"mcp_config":{servers(levels)}}}')
        assert (status, answer.get("field")) == (422, "mcp_config")
    status, shown = await clients.rest.ask("GET", "/api/settings")
    assert (status, shown["language"], shown["mcp_config"]) == (200, "de", None)


@pytest.mark.parametrize("levels", DEPTHS[-2:])
async def test_no_conversation_is_half_made(server: Server, clients: Clients, levels: int) -> None:
    for text, field in (
        (f'{{"mcp_config":{servers(levels)}}}', "mcp_config"),
        (f'{{"settings":{{"mcp_config":{servers(levels)}}}}}', "settings"),
    ):
        status, answer = await posted(clients, "POST", "/api/conversations", text)
        assert (status, answer["field"]) == (422, field)
    raw = RawSocket(clients.rest.http, server.url)
    try:
        await raw.open()
        create = f'{{"settings":{{"mcp_config":{servers(levels)}}}}}'
        told = json.loads((await raw.connect(f'{{"conversation_id":"made","create":{create}}}'))[2:])
    finally:
        await raw.close()
    assert (told["data"]["code"], LIMIT in told["message"]) == ("bad_input", True)
    assert (await clients.rest.ask("GET", "/api/conversations"))[1]["results"] == []
    assert "Traceback" not in server.log


@pytest.mark.parametrize("levels", DEPTHS[:1])
async def test_a_command_is_answered(server: Server, clients: Clients, levels: int) -> None:
    sid = await clients.rest.create()
    raw = RawSocket(clients.rest.http, server.url)
    try:
        await raw.open()
        await raw.connect(json.dumps({"conversation_id": sid, "protocol": 2}))
        command = f'{{"action":"message","args":{{"content":"hello","z":{nested(levels)}}}}}'
        await raw.send(f'427["oh_user_action",{command}]')
        [told] = [text for text in await raw.answers() if text.startswith("437")]
    finally:
        await raw.close()
    [refusal] = json.loads(told.removeprefix("437"))
    assert (refusal["ok"], refusal["code"], refusal["field"]) == (False, "bad_input", "args")
    assert "Traceback" not in server.log
