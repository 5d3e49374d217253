"""What MCP servers of every kind keep, against a real small one."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from openhands_sessions.adapters.mcp.sdk import SdkMcpServers
from openhands_sessions.adapters.runtimes.local.runtimes import LocalRuntimes
from openhands_sessions.core.mcp_servers import McpConfig
from openhands_sessions.ports.mcp import CallMcp, McpDone, McpServers, McpTools
from openhands_sessions.ports.programs import LONGEST_LINE, Programs
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
        assert len(set(names)) == len(names) == 9
        assert all(name.startswith("mcp_127_0_0_1_") and len(name) <= 64 for name in names)
        assert "mcp_127_0_0_1_odd_name" in names
        [add] = [function for function in tools.functions if function.name.endswith("_add")]
        assert add.description == "Add two numbers."
        assert add.parameters["required"] == ["first", "second"]
        assert [function.name for function in tools.functions if function.read_only] == [add.name]
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


async def test_a_server_that_ended_is_greeted_again_with_the_next_call(
    servers: McpServers, config: McpConfig, programs: Programs
) -> None:
    async with asyncio.timeout(60), servers.open(config, programs) as tools:
        assert await call(tools, "_note", text="x") == McpDone(text="1 kept")
        lost = await call(tools, "_die")
        assert lost == McpDone(text="The MCP server 127.0.0.1 was lost.", unknown=True)
        again = await call(tools, "_note", timeout=20, text="y")
        if config.stdio_servers:
            assert again == McpDone(text="1 kept")
        else:  # nobody starts it
            assert again.failed
            assert not again.unknown
            assert again.text.startswith("Not called: the MCP server 127.0.0.1 cannot be used: it cannot be reached")


@pytest.mark.parametrize("kind", ["http", "sse"])
async def test_a_server_that_was_restarted_gets_the_call_once(
    servers: McpServers, programs: Programs, free_port: int, kind: str
) -> None:
    name = {"http": "shttp_servers", "sse": "sse_servers"}[kind]
    async with asyncio.timeout(60), AsyncExitStack() as stack:
        async with served(free_port, kind) as url:
            tools = await stack.enter_async_context(servers.open(McpConfig.model_validate({name: [url]}), programs))
            assert await call(tools, "_note", text="x") == McpDone(text="1 kept")
        gone = await call(tools, "_note", text="y")
        assert (gone.failed, gone.unknown) == (True, False)
        async with served(free_port, kind):
            answers = await asyncio.gather(*(call(tools, "_note", text="z") for _ in range(3)))
            assert sorted(answer.text for answer in answers) == ["1 kept", "2 kept", "3 kept"]
        async with served(free_port, kind):
            assert await call(tools, "_note", text="z") == McpDone(text="1 kept")


async def test_a_long_answer_is_whole_and_one_that_is_too_long_ends_its_own_call_only(
    servers: McpServers, config: McpConfig, programs: Programs
) -> None:
    async with asyncio.timeout(60), servers.open(config, programs) as tools:
        assert await call(tools, "_note", text="x") == McpDone(text="1 kept")
        waiting = asyncio.create_task(call(tools, "_wait_for_notes", count=2))
        long = await call(tools, "_long_text", size=LONGEST_LINE - 1000)
        assert long == McpDone(text="x" * (LONGEST_LINE - 1000))
        too_long = await call(tools, "_long_text", size=LONGEST_LINE + 2000)
        assert too_long.unknown
        assert "more than 16 MiB" in too_long.text
        assert await call(tools, "_note", text="y") == McpDone(text="2 kept")
        assert await waiting == McpDone(text="there they are")


async def test_a_caller_that_is_cancelled_leaves_the_server_at_work(
    servers: McpServers, config: McpConfig, programs: Programs
) -> None:
    async with asyncio.timeout(60), servers.open(config, programs) as tools:
        calling = asyncio.create_task(call(tools, "_dawdle", seconds=30))
        await call(tools, "_note", text="x")
        calling.cancel()
        await asyncio.wait([calling])
        assert await call(tools, "_note", text="y") == McpDone(text="2 kept")
