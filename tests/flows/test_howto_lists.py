"""`docs/howto/watch-your-conversations.md`, and what `watch-the-server.md` shows operators: the commands as they stand
there."""

import asyncio
import json
import re
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.command_line import RunningProgram
from tests.support.running_server import Server
from tests.support.server_clients import Clients

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[str]:
    """The blocks of a page that name no language."""
    text = (ROOT / "docs" / "howto" / page).read_text()
    return [block for language, block in BLOCK.findall(text) if not language]


FOLLOWED, MARKED = commands("watch-your-conversations.md")
[COMMANDS] = commands("watch-the-server.md")


@pytest.fixture
async def sid(clients: Clients) -> str:
    """A conversation with an answered message."""
    created = await clients.rest.create("$ echo hello")
    client = clients.protocol2(created)
    await client.connect()
    await client.until_state("awaiting_user_input", after=4)
    return created


def shown(text: str, server: Server, sid: str) -> str:
    """A command for this server and conversation."""
    there = text.replace("http://127.0.0.1:3000", server.url).replace(
        "localhost:3000", server.url.removeprefix("http://")
    )
    return there.replace("$ID", sid).replace("python ", f"{sys.executable} ")


@asynccontextmanager
async def started(command: str) -> AsyncIterator[RunningProgram]:
    process = await asyncio.create_subprocess_exec(
        *shlex.split(command), cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield RunningProgram(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_the_example_follows_the_list(server: Server, clients: Clients, sid: str) -> None:
    async with started(shown(FOLLOWED, server, sid)) as example:
        await example.says(f"{sid} RUNNING awaiting_user_input 1 ")
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", shown(MARKED, server, sid), stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        assert json.loads(out) == {"event_id": 4}
        await clients.rest.ask("PATCH", f"/api/conversations/{sid}", {"title": "Renamed"})
        await example.says("Renamed")
        await clients.rest.delete(sid)
        await example.says(f"{sid} deleted")


async def test_the_example_gives_each_of_an_operators_commands(server: Server, sid: str) -> None:
    answers = []
    for command in shown(COMMANDS, server, sid).splitlines():
        async with started(command) as example:
            printed, problem = await example.rest()
            assert example.process.returncode == 0, problem
        if "03_operator.py" in command:
            answers.append(json.loads(printed))
    assert [answer["ok"] for answer in answers] == [True] * 3, answers
