"""What MCP servers of every kind keep, against a real small one."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from openhands_sessions.adapters.mcp.sdk import SdkMcpServers
from openhands_sessions.adapters.runtimes.local.runtimes import LocalRuntimes
from openhands_sessions.core.settings import McpConfig
from openhands_sessions.ports.mcp import CallMcp, McpDone, McpServers, McpTools
from openhands_sessions.ports.programs import Programs
from tests.support.mcp_server import PROGRAM, served
from tests.support.sandboxes import SID, opened

GONE = "http://127.0.0.1:9/mcp"


@pytest.fixture
def servers() -> McpServers:
    return SdkMcpServers(connect=10)


@pytest.fixture
async def programs(tmp_path: Path) -> AsyncIterator[Programs]:
    """Of a local sandbox."""
    runtimes = LocalRuntimes(tmp_path / "sandboxes")
    async with opened(runtimes) as runtime:
        yield runtime.programs
    await runtimes.discard(SID)


@pytest.fixture(params=["http", "sse", "stdio"])
async def config(request: pytest.FixtureRequest, free_port: int) -> AsyncIterator[McpConfig]:
    """Two servers, one of which is not there."""
    if request.param == "stdio":
        small = {"name": "127.0.0.1", "command": sys.executable, "args": ["-P", str(PROGRAM), "stdio"]}
        gone = {"name": "127.0.0.1", "command": "no-such-program"}
        yield McpConfig.model_validate({"stdio_servers": [small, gone]})
        return
    kind = {"http": "shttp_servers", "sse": "sse_servers"}[request.param]
    async with served(free_port, request.param) as url:
        yield McpConfig.model_validate(
            {kind: [{"url": url, "api_key": "k"}], "shttp_servers" if kind == "sse_servers" else "sse_servers": [GONE]}
        )


async def call(tools: McpTools, ending: str, timeout: float | None = 20, **arguments: object) -> McpDone:
    [name] = [function.name for function in tools.functions if function.name.endswith(ending)]
    async with asyncio.timeout(30):
        return await tools.call(CallMcp(name=name, arguments=arguments, timeout=timeout))  # type: ignore[arg-type]  # JSON


async def test_tools_are_offered_and_called_and_a_server_that_is_not_there_is_told(
    servers: McpServers, config: McpConfig, programs: Programs
) -> None:
    async with asyncio.timeout(60), servers.open(config, programs) as tools:
        names = [function.name for function in tools.functions]
        assert len(set(names)) == len(names) == 6
        assert all(name.startswith("mcp_127_0_0_1_") and len(name) <= 64 for name in names)
        assert "mcp_127_0_0_1_odd_name" in names
        [add] = [function for function in tools.functions if function.name.endswith("_add")]
        assert add.description == "Add two numbers."
        assert add.parameters["required"] == ["first", "second"]
        assert [problem.split(":")[0] for problem in tools.problems] == ["The MCP server 127.0.0.1 is not used"]
        assert await call(tools, "_add", first=2, second=3) == McpDone(text="5")
        assert (await call(tools, "_odd_name")).text == "odd"
        wrong = await call(tools, "_add", first="x")
        assert wrong.failed
        assert not wrong.unknown
        failed = await call(tools, "_fail")
        assert failed.failed
        assert "fail" in failed.text
        missing = await tools.call(CallMcp(name="mcp_none", arguments={}))
        assert missing.failed


async def test_what_does_not_answer_is_unknown_and_the_rest_goes_on(
    servers: McpServers, config: McpConfig, programs: Programs
) -> None:
    async with asyncio.timeout(60), servers.open(config, programs) as tools:
        slow = await call(tools, "_dawdle", timeout=0.3, seconds=30)
        assert slow.unknown
        assert "did not answer" in slow.text
        assert await call(tools, "_note", text="x") == McpDone(text="1 kept")
        slow_and_quick = await asyncio.gather(
            call(tools, "_dawdle", seconds=0.4), *(call(tools, "_add", first=number, second=1) for number in range(5))
        )
        assert [done.text for done in slow_and_quick] == ["done", "1", "2", "3", "4", "5"]
        lost = await call(tools, "_die", timeout=5)
        assert lost.unknown
        again = await call(tools, "_add", timeout=5, first=1, second=1)
        assert again.unknown or again.failed


async def test_a_caller_that_is_cancelled_leaves_the_server_at_work(
    servers: McpServers, config: McpConfig, programs: Programs
) -> None:
    async with asyncio.timeout(60), servers.open(config, programs) as tools:
        calling = asyncio.create_task(call(tools, "_dawdle", seconds=30))
        await call(tools, "_note", text="x")
        calling.cancel()
        await asyncio.wait([calling])
        assert await call(tools, "_note", text="y") == McpDone(text="2 kept")
