"""One rate for each caller, by whatever way it asks."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.answer_shapes import mismatch, refused
from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients

KEY = "a key"
MESSAGE = {"action": "message", "args": {"content": "$ true"}}


@pytest.fixture
async def server(data_dir: Path) -> AsyncIterator[Server]:
    settings = {
        "OHS_AUTH__KIND": "session_key",
        "OHS_SESSION_API_KEY": KEY,
        "OHS_LIMITS__MESSAGES_PER_SECOND": "0.01",
        "OHS_LIMITS__MESSAGES_BURST": "6",
        "OHS_LIMITS__CREATES_PER_MINUTE": "3",
        "OHS_LIMITS__REQUESTS_PER_SECOND": "0",
    }
    async with running_server(data_dir, settings) as ready:
        yield ready


def is_refused(answer: tuple[int, Any]) -> bool:
    return answer[0] == 429 and not mismatch(refused("rate_limited", retry_after=float), answer[1])


async def test_commands_count_together_over_rest_over_sockets_and_over_connections(server: Server) -> None:
    async with Clients(server.url, key=KEY) as clients:
        sid = await clients.rest.create()
        assert (await clients.rest.ask("POST", f"/api/conversations/{sid}/events", MESSAGE))[0] == 200
        assert (await clients.rest.ask("POST", f"/api/conversations/{sid}/message", {"message": "$ true"}))[0] == 200
        for _ in range(4):  # each with a connection of its own
            client = clients.protocol2(sid)
            await client.connect()
            assert (await client.call("oh_user_action", MESSAGE))["ok"]
        told = await client.call("oh_user_action", MESSAGE)
        assert (told["ok"], told["code"]) == (False, "rate_limited")
        assert told["retry_after"] > 1
        assert is_refused(await clients.rest.ask("POST", f"/api/conversations/{sid}/events", MESSAGE))
        assert is_refused(await clients.rest.ask("POST", f"/api/conversations/{sid}/message", {"message": "x"}))
        assert (await clients.rest.ask("GET", f"/api/conversations/{sid}"))[0] == 200, "reading is no command"


async def test_new_conversations_count_together_over_rest_and_sockets(server: Server) -> None:
    async with Clients(server.url, key=KEY) as clients:
        sid = await clients.rest.create()
        await clients.rest.create()
        await clients.protocol2("made-by-a-socket").connect(create=True)
        status, told = await clients.rest.ask("POST", "/api/conversations", {})
        assert is_refused((status, told))
        for _ in range(2):
            await clients.protocol2("made-by-a-socket").connect(create=True)  # comes back to its own: nothing is made
        assert "too many new conversations" in told["message"]
        assert (await clients.rest.ask("GET", f"/api/conversations/{sid}"))[0] == 200


async def test_requests_beyond_the_rate_are_refused_with_the_time_to_wait(data_dir: Path) -> None:
    settings = {"OHS_AUTH__KIND": "session_key", "OHS_SESSION_API_KEY": KEY, "OHS_LIMITS__REQUESTS_PER_SECOND": "0.5"}
    async with running_server(data_dir, settings) as server, Clients(server.url, key=KEY) as clients:
        answers = [await clients.rest.ask("GET", "/api/options/agents") for _ in range(5)]
        assert [status for status, _ in answers] == [200, 200, 429, 429, 429]
        assert is_refused(answers[-1])
        async with clients.rest.http.get(f"{server.url}/api/options/agents") as answer:
            assert int(answer.headers["Retry-After"]) == 2, "in 1 s it would be refused again"
        assert (await clients.rest.ask("GET", "/health/ready"))[0] == 200, "probes are not counted"
