"""What bounds the work for states and comparisons over REST."""

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.answer_shapes import mismatch, refused
from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients

KEY = "a key"
MIB = 1024 * 1024


@pytest.fixture
async def server(data_dir: Path) -> AsyncIterator[Server]:
    settings = {
        "OHS_AUTH__KIND": "session_key",
        "OHS_SESSION_API_KEY": KEY,
        "OHS_LIMITS__MESSAGES_PER_SECOND": "0.01",
        "OHS_LIMITS__MESSAGES_BURST": "2",
    }
    async with running_server(data_dir, settings) as ready:
        yield ready


@pytest.fixture
async def clients(server: Server) -> AsyncIterator[Clients]:
    async with Clients(server.url, key=KEY) as visiting:
        yield visiting


def setting(value: Any) -> dict[str, Any]:
    return {"operations": [{"op": "set", "key": "k", "value": value}]}


async def test_changes_count_as_messages_and_have_a_limit_of_their_own(clients: Clients) -> None:
    path = "/api/user/state"
    large = io.BytesIO(json.dumps(setting("x" * MIB)).encode())
    async with clients.rest.http.patch(f"{clients.rest.url}{path}", data=large) as answer:
        assert (answer.status, (await answer.json())["limit"]) == (413, MIB)
    status, told = await clients.rest.ask("PATCH", path, setting("x" * (MIB - 1_000)))
    assert status == 200, told
    assert told["entries"]["k"]["file"] is not None
    status, told = await clients.rest.ask("PATCH", path, setting(1))
    assert status == 429
    assert not mismatch(refused("rate_limited", retry_after=float), told)
    assert (await clients.rest.ask("GET", path))[0] == 200


async def test_a_page_of_changes_says_how_to_go_on(clients: Clients) -> None:
    path = "/api/user/state"
    for number in range(2):
        assert (await clients.rest.ask("PATCH", path, setting(number)))[0] == 200
    seen, after = [], 0
    for _ in range(2):
        status, told = await clients.rest.ask("GET", f"{path}/changes?limit=1&after_revision={after}")
        assert status == 200
        seen += [each["revision"] for each in told["changes"]]
        after = told["after_revision"]
    status, told = await clients.rest.ask("GET", f"{path}/changes?after_revision={after}")
    assert (seen, status, told) == ([1, 2], 200, {"changes": [], "after_revision": 2})


async def test_a_comparison_counts_as_a_message(clients: Clients) -> None:
    sid = await clients.rest.create()
    asked = [await clients.rest.ask("GET", f"/api/conversations/{sid}/diff?branch=main") for _ in range(3)]
    assert [status for status, _ in asked] == [200, 200, 429]
