"""What the documentation shows works as it stands there."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from openhands_sessions.config.session_key import FILE, read_key
from tests.support.command_line import RunningProgram
from tests.support.model_replies import Reply
from tests.support.model_server import MODEL, ModelServer, model_server
from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "docs" / "examples" / "01_client.py"
WAITS = "$ echo begun; until test -e go; do sleep 0.02; done; echo over"


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with model_server([Reply(text="Hello from the loopback model.")]) as served:
        yield served


@asynccontextmanager
async def started(*words: str, **variables: str) -> AsyncIterator[RunningProgram]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(CLIENT), *words),
        env={**os.environ, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield RunningProgram(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def run_client(*words: str, **variables: str) -> list[str]:
    async with started(*words, **variables) as client:
        printed, problem = await client.rest()
        assert client.process.returncode == 0, problem
    return printed.splitlines()


def test_the_readme_shows_the_example_client_word_by_word() -> None:
    shown = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert shown == [CLIENT.read_text()]


def numbers(lines: list[str]) -> list[int]:
    """Of the events; a message may have more lines than one."""
    return [int(found[1]) for line in lines if (found := re.match(r"(\d+) [a-z_]+ ", line))]


async def test_the_example_client_comes_back_to_a_finished_conversation(server: Server) -> None:
    first = await run_client(server.url)
    assert any("run Command `echo hello` ended with exit code 0." in line for line in first)
    url, sid, last = first[-1].split()[-3:]
    assert numbers(first) == list(range(int(last) + 1))
    second = await run_client(url, sid, last)
    assert numbers(second) == list(range(int(last) + 1, int(second[-1].split()[-1]) + 1))
    assert any("run Command `echo hello` ended" in line for line in second)
    for _ in range(3):
        again = await run_client(url, sid)  # with all that there is
        assert numbers(again) == list(range(int(again[-1].split()[-1]) + 1))
    assert sum("turn_ended" in line for line in again) == 5


async def test_the_example_client_comes_back_to_a_running_conversation(server: Server, clients: Clients) -> None:
    sid = await clients.rest.create(WAITS)
    async with started(server.url, sid) as client:
        await client.says(" run ")
        (server.workspace(sid) / "go").touch()
        printed, problem = await client.rest()
        assert client.process.returncode == 0, problem
    assert "echo over` ended with exit code 0." in printed
    assert "Command `echo hello` ended with exit code 0." in printed


async def test_the_example_client_comes_back_by_itself_when_the_server_was_killed(
    server: Server, clients: Clients
) -> None:
    sid = await clients.rest.create(WAITS)
    async with started(server.url, sid) as client:
        await client.says(" run ")
        await client.says("$ echo hello")
        await clients.rest.head(sid)  # what was stored before this question is acknowledged by now
        await server.killed()
        await server.start()
        (server.workspace(sid) / "go").touch()
        printed, problem = await client.rest()
        assert client.process.returncode == 0, problem
    found = numbers(printed.splitlines())
    assert found == sorted(set(found))
    assert "Command `echo hello` ended with exit code 0." in printed


async def test_the_example_client_works_with_a_model(data_dir: Path, model: ModelServer) -> None:
    settings = {"OHS_LLM__MODEL": f"openai/{MODEL}", "OHS_LLM__BASE_URL": model.url, "OHS_LLM__API_KEY": "sk-loopback"}
    async with running_server(data_dir, settings) as ready:
        assert any("Hello from the loopback model." in line for line in await run_client(ready.url))


async def test_the_example_client_finds_the_key(data_dir: Path) -> None:
    async with running_server(data_dir, {"OHS_AUTH__KIND": "session_key"}) as server:
        key = read_key(data_dir)
        assert key is not None
        assert await run_client(server.url, OHS_DATA_DIR=str(data_dir))
        (data_dir / FILE).rename(data_dir / "elsewhere")
        assert await run_client(server.url, OHS_DATA_DIR=str(data_dir), OHS_SESSION_API_KEY=key)
        first = await run_client(server.url, "", "", key, OHS_SESSION_API_KEY="another")
        assert any("turn_ended" in line for line in first)
        async with started(server.url, "", "", "wrong") as client:
            printed, problem = await client.rest()
        assert printed.startswith("cannot connect: ")
        assert (problem, client.process.returncode) == ("", 1)
