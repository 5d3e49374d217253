"""What an `Agent` may have: MCP servers, and other agents."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from openhands_sessions.core.errors import BadInput
from tests.support.mcp_server import PROGRAM, served
from tests.support.model_replies import Call, Reply
from tests.support.program_sessions import ProgramSessions, program_sessions

LONG = 500
pytestmark = [pytest.mark.timeout(LONG), pytest.mark.slow]


@pytest.fixture
async def program(tmp_path: Path) -> AsyncIterator[ProgramSessions]:
    async with asyncio.timeout(LONG), program_sessions(tmp_path, []) as ready:
        yield ready


async def test_an_agent_calls_tools_of_mcp_servers_beside_its_functions(
    program: ProgramSessions, free_port: int
) -> None:
    def double(number: int) -> int:
        """Twice the number."""
        return 2 * number

    calls = [Call(name="double", arguments={"number": 4}), Call(name="ADD", arguments={"first": 20, "second": 22})]
    async with served(free_port) as url:
        agent = program.agent(double, mcp_servers={"shttp_servers": [{"url": url, "api_key": "key-of-a-server"}]})
        program.model.play([Reply(text="Ready."), Reply(calls=calls), Reply(text="Done.")])
        session = program.session(agent=agent)
        assert await session.achat("Hello") == "Ready."
        names = [each["function"]["name"] for each in program.model.requests[0].body["tools"]]
        [add] = [name for name in names if name.endswith("_add")]
        calls[1] = Call(name=add, arguments={"first": 20, "second": 22})
        assert names[0] == "double"
        result = await session.arun("Add")
    assert result.text == "Done."
    told = [message["content"] for message in program.model.requests[-1].messages if message["role"] == "tool"]
    assert told == ["8", "42"]
    await session.aclose()
    files = [path for path in program.database.parent.rglob("*") if path.is_file()]
    assert [path for path in files if b"key-of-a-server" in path.read_bytes()] == []


async def test_a_server_of_an_agent_that_is_a_program_runs_in_its_sandbox(program: ProgramSessions) -> None:
    small = {"name": "small", "command": sys.executable, "args": ["-P", str(PROGRAM), "stdio"]}
    servers = {"stdio_servers": [small]}
    add = Call(name="mcp_small_add", arguments={"first": 1, "second": 2})
    program.model.play([Reply(calls=[add]), Reply(text="3")])
    session = program.session(agent=program.agent(sandbox=True, mcp_servers=servers))
    assert await session.achat("Add") == "3"
    told = [message["content"] for message in program.model.requests[-1].messages if message["role"] == "tool"]
    assert told == ["3"]
    with pytest.raises(BadInput, match=r"sandbox=True"):
        await program.session("other", agent=program.agent(mcp_servers=servers)).achat("Add")


async def test_servers_that_cannot_be_are_refused_and_one_that_is_away_is_told(program: ProgramSessions) -> None:
    with pytest.raises(BadInput, match="'shttp_servers'"):
        await program.session(agent=program.agent(mcp_servers={"http_servers": []})).achat("Hello")
    with pytest.raises(BadInput, match=r"shttp_servers\.0"):
        await program.session(agent=program.agent(mcp_servers={"shttp_servers": ["ftp://x"]})).achat("Hello")
    program.model.play([Reply(text="Hello.")])
    away = program.session(agent=program.agent(mcp_servers={"shttp_servers": ["http://127.0.0.1:9/mcp"]}))
    assert await away.achat("Hello") == "Hello."
    [problem] = [event for event in await away.aevents() if event.get("observation") == "error"]
    assert problem["content"].startswith("The MCP server 127.0.0.1 is not used")
