"""What operators read of a server in this process: `/metrics`, and who may; `/health/llm`."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from openhands_sessions.config.config import AuthSection, Config, LlmSection, MetricsSection, ServerSection
from tests.support.in_process_server import in_process_server
from tests.support.model_server import model_server
from tests.support.ports import free_port
from tests.support.token_keys import SECRET, by_secret

KEY = "a-key-of-prometheus"
PROMETHEUS = "127.0.0.9"


def config(folder: Path, *, proxies: tuple[str, ...] = ()) -> Config:
    return Config(
        data_dir=folder,
        server=ServerSection(session_api_key="", trusted_proxies=proxies),
        auth=AuthSection(kind="tokens", secret=SECRET),
        metrics=MetricsSection(key=KEY, allow=(PROMETHEUS, "203.0.113.0/24")),
    )


@pytest.fixture
async def url(data_dir: Path) -> AsyncIterator[str]:
    async with in_process_server(config(data_dir)) as server:
        yield f"{server.url}/metrics"


async def status(url: str, key: str | None = None, *, address: str = "127.0.0.1", **headers: str) -> int:
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    here = aiohttp.TCPConnector(local_addr=(address, 0))
    async with aiohttp.ClientSession(connector=here) as http, http.get(url, headers=named) as answer:
        if answer.status == 200:
            assert answer.content_type == "text/plain"
            assert [*text_string_to_metric_families(await answer.text())]
        return answer.status


async def test_operators_the_key_and_allowed_addresses_read_and_nobody_else(url: str) -> None:
    assert await status(url) == 401
    assert await status(url, by_secret(sub="ada")) == 401
    assert await status(url, by_secret(sub="olga", role="operator")) == 200
    assert await status(url, by_secret(sub="root", role="admin")) == 200
    assert await status(url, KEY) == 200
    assert await status(url, KEY + "x") == 401
    assert await status(url, address=PROMETHEUS) == 200


async def test_the_key_opens_nothing_else(url: str) -> None:
    root = url.removesuffix("/metrics")
    for path in ("/server_info", "/api/conversations", "/api/docs"):
        assert await status(f"{root}{path}", KEY) == 401
        assert await status(f"{root}{path}", address=PROMETHEUS) == 401


async def test_an_address_is_the_callers_own_only_through_a_trusted_proxy(data_dir: Path) -> None:
    claimed = {"X_Forwarded_For": "203.0.113.7"}
    async with in_process_server(config(data_dir)) as server:
        assert await status(f"{server.url}/metrics", **claimed) == 401
    async with in_process_server(config(data_dir, proxies=("127.0.0.1",))) as server:
        assert await status(f"{server.url}/metrics", **claimed) == 200
        assert await status(f"{server.url}/metrics", X_Forwarded_For="198.51.100.7") == 401


async def test_an_address_that_guesses_is_refused_before_its_guesses_are_looked_at(data_dir: Path) -> None:
    guesser = {"X_Forwarded_For": "198.51.100.7"}
    async with in_process_server(config(data_dir, proxies=("127.0.0.1",))) as server:
        url = f"{server.url}/metrics"
        guesses = [await status(url, f"guess-number-{number}", **guesser) for number in range(21)]
        assert guesses[0] == 401
        assert guesses[-1] == 429
        assert await status(url, KEY, **guesser) == 429
        assert await status(url, KEY, X_Forwarded_For="198.51.100.8") == 200


async def test_whether_the_model_answers_is_told_and_its_key_is_not(data_dir: Path) -> None:
    async with model_server({}) as model:
        llm = LlmSection(model="openai/own", base_url=model.url, api_key="sk-operator", retries=0)
        async with in_process_server(Config(data_dir=data_dir, llm=llm)) as server, aiohttp.ClientSession() as http:
            for _ in range(3):
                async with http.get(f"{server.url}/health/llm") as answer:
                    told = await answer.text()
                    status = answer.status
    assert (status, len(model.requests)) == (200, 1), told
    assert "sk-operator" not in told
    assert model.requests[0].headers["Authorization"] == "Bearer sk-operator"


async def test_a_model_that_cannot_be_reached_is_an_answer_by_status(data_dir: Path) -> None:
    llm = LlmSection(model="openai/own", base_url=f"http://127.0.0.1:{free_port()}", api_key="sk-operator")
    async with (
        in_process_server(Config(data_dir=data_dir, llm=llm)) as server,
        aiohttp.ClientSession() as http,
        http.get(f"{server.url}/health/llm") as answer,
    ):
        told = await answer.json()
    assert (answer.status, told["status"], told["model"]) == (503, "error", "openai/own")
    assert told["cause"] == "STATUS$ERROR_LLM_SERVICE_UNAVAILABLE"
