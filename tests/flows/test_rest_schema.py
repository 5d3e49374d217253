"""Every route, asked as the server's own document says and otherwise: no 5xx, and no answer that the document does not
know."""

import asyncio
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from tests.support.asking import ask_everything
from tests.support.guests import Guests
from tests.support.running import Server, running

SETTINGS = {"OHS_LLM__MODEL": "scripted:demo", "OHS_LIMITS__MESSAGE_BYTES": "100000"}
"""A model that runs no command of a stranger's."""
SECONDS = 15.0


async def ask(data_dir: Path, *, times: int, number: int, seconds: float = 0.0) -> int:
    async with running(data_dir, SETTINGS) as server, Guests(server.url) as guests:
        _, document = await guests.rest.ask("GET", "/api/openapi.json")
        await guests.rest.ask("POST", "/api/secrets", {"name": "KNOWN", "value": "some value"})
        known = {"conversation_id": await guests.rest.create(), "name": "KNOWN"}
        asking = partial(ask_everything, server.url, document, known, times=times, number=number, seconds=seconds)
        asked = await asyncio.to_thread(asking)
        assert (await guests.rest.ask("GET", "/health/ready"))[0] == 200
        assert "a request failed" not in server.log
        return asked


async def test_routes_answer_as_they_are_described(data_dir: Path) -> None:
    assert await ask(data_dir, times=2, number=0) > 100


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", range(10))
async def test_routes_answer_as_they_are_described_whatever_is_asked(data_dir: Path, number: int) -> None:
    assert await ask(data_dir, times=6, number=1_000 * number, seconds=SECONDS) > 300


async def test_the_page_of_routes_needs_nothing_but_its_server(server: Server) -> None:
    async with aiohttp.ClientSession() as http, http.get(f"{server.url}/api/docs") as answer:
        text = await answer.text()
        assert (answer.status, answer.content_type) == (200, "text/html")
    assert "openapi.json" in text
    assert "://" not in text
