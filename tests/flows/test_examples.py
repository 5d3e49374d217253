"""What the documentation shows works as it stands there."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.model_replies import Reply
from tests.support.model_server import MODEL, ModelServer, model_server
from tests.support.running_server import Server, running_server

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "docs" / "examples" / "01_client.py"


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with model_server([Reply(text="Hello from the loopback model.")]) as served:
        yield served


async def run_client(url: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(CLIENT), url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(60):
        printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()
    return printed.decode()


def test_the_readme_shows_the_example_client_word_by_word() -> None:
    shown = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert shown == [CLIENT.read_text()]


async def test_the_example_client_works_without_a_key(server: Server) -> None:
    printed = await run_client(server.url)
    assert "run Command `echo hello` ended with exit code 0." in printed
    assert "turn_ended" in printed


async def test_the_example_client_works_with_a_model(data_dir: Path, model: ModelServer) -> None:
    settings = {"OHS_LLM__MODEL": f"openai/{MODEL}", "OHS_LLM__BASE_URL": model.url, "OHS_LLM__API_KEY": "sk-loopback"}
    async with running_server(data_dir, settings) as ready:
        assert "Hello from the loopback model." in await run_client(ready.url)
