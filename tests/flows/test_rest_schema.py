"""Every route, asked as the server's own document says and otherwise: no 5xx, and no answer that the document does not
know."""

import asyncio
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from tests.support.route_fuzzing import ask_with_path_values, fuzz_routes
from tests.support.running_server import Server, running_server
from tests.support.seeds import REPORTED_IN_CI, printed_seed
from tests.support.server_clients import Clients

SETTINGS = {"OHS_LLM__MODEL": "scripted:demo", "OHS_LIMITS__MESSAGE_BYTES": "100000"}
"""A model that runs no command of a stranger's."""
SECONDS = 15.0
ODD_NAMES = ("a\nb", "\n", "\x01", "\x7f", "{", "}", "{x}", "a b", "%", "é", "\u2028", "/", "a/b")
"""Values that a router could fail to match."""


async def ask(data_dir: Path, *, times: int, number: int, seconds: float = 0.0) -> int:
    async with running_server(data_dir, SETTINGS) as server, Clients(server.url) as clients:
        _, document = await clients.rest.ask("GET", "/api/openapi.json")
        await clients.rest.ask("POST", "/api/secrets", {"name": "KNOWN", "value": "some value"})
        known = {"conversation_id": await clients.rest.create(), "name": "KNOWN"}
        asking = partial(fuzz_routes, server.url, document, known, times=times, number=number, seconds=seconds)
        asked = await asyncio.to_thread(asking)
        assert (await clients.rest.ask("GET", "/health/ready"))[0] == 200
        assert "a request failed" not in server.log
        return asked


async def test_routes_answer_as_they_are_described(data_dir: Path) -> None:
    assert await ask(data_dir, times=1, number=printed_seed()) > 50


@REPORTED_IN_CI
async def test_routes_answer_as_they_are_described_for_a_new_seed(data_dir: Path) -> None:
    assert await ask(data_dir, times=1, number=printed_seed(fixed_in_ci=False)) > 50


async def test_every_value_of_a_path_parameter_gets_a_documented_answer(clients: Clients, server: Server) -> None:
    _, document = await clients.rest.ask("GET", "/api/openapi.json")
    asking = partial(ask_with_path_values, server.url, document, ODD_NAMES)
    assert await asyncio.to_thread(asking) > 25 * len(ODD_NAMES)
    assert "a request failed" not in server.log


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("run", range(10))
async def test_routes_answer_as_they_are_described_whatever_is_asked(data_dir: Path, run: int) -> None:
    assert await ask(data_dir, times=6, number=printed_seed(), seconds=SECONDS) > 300


async def test_the_page_of_routes_needs_nothing_but_its_server(server: Server) -> None:
    async with aiohttp.ClientSession() as http, http.get(f"{server.url}/api/docs") as answer:
        text = await answer.text()
        assert (answer.status, answer.content_type) == (200, "text/html")
    assert "openapi.json" in text
    assert "://" not in text
