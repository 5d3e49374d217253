"""MCP servers in the sandbox that answer oddly or end: only the call that it concerns is affected, and what is said of
it is true."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator

import pytest

from openhands_sessions.adapters.mcp.sdk import SdkMcpServers
from openhands_sessions.core.mcp_servers import McpConfig
from openhands_sessions.ports.mcp import CallMcp, McpDone, McpTools
from openhands_sessions.ports.runtime import Runtime
from tests.support.odd_mcp_server import PROGRAM
from tests.support.sandboxes import run

CONFIG = McpConfig.model_validate(
    {"stdio_servers": [{"name": "odd", "command": sys.executable, "args": ["-P", str(PROGRAM)]}]}
)


@pytest.fixture
async def tools(runtime: Runtime) -> AsyncIterator[McpTools]:
    async with asyncio.timeout(60), SdkMcpServers().open(CONFIG, runtime.programs) as tools:
        yield tools


async def call(tools: McpTools, name: str, timeout: float = 20, **arguments: str) -> McpDone:
    return await tools.call(CallMcp(name=f"mcp_odd_{name}", arguments=arguments, timeout=timeout))


async def made(runtime: Runtime) -> list[str]:
    """The calls that servers got, in all their lives."""
    return (await runtime.files.read("calls")).decode().split()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("broken", "gave an answer that cannot be used"),
        ("half_a_line", "gave an answer that cannot be used"),
        ("no_result", "gave an answer that cannot be used"),
        ("wrong_result", "gave an answer that cannot be used"),
        ("too_long", "gave an answer of more than 16 MiB"),
        ("too_long_with_its_id_last", "gave an answer of more than 16 MiB"),
    ],
)
async def test_an_answer_that_cannot_be_used_ends_its_own_call_only(
    tools: McpTools, runtime: Runtime, name: str, words: str
) -> None:
    before = await call(tools, "ping")
    answer = await call(tools, name)
    assert answer.unknown
    assert words in answer.text
    assert await call(tools, "ping") == before, "the server was started again"
    assert await made(runtime) == ["ping", name, "ping"]


async def test_noise_and_what_is_only_unusual_are_no_fault(tools: McpTools) -> None:
    assert await call(tools, "noise") == McpDone(text="heard")
    assert await call(tools, "half_emoji") == McpDone(text="half \ufffd end")
    assert await call(tools, "own_error") == McpDone(text="my own words", failed=True)


async def test_a_server_that_ends_after_each_answer_is_greeted_for_each_call(tools: McpTools, runtime: Runtime) -> None:
    for _ in range(3):
        assert await call(tools, "answer_and_end") == McpDone(text="answered")
    assert await made(runtime) == ["answer_and_end"] * 3


async def test_a_call_that_was_sent_is_not_repeated(tools: McpTools, runtime: Runtime) -> None:
    lost = await call(tools, "end")
    assert lost == McpDone(text="The MCP server odd was lost.", unknown=True)
    assert (await call(tools, "ping")).text.startswith("pong")
    assert await made(runtime) == ["end", "ping"]


async def test_a_call_with_too_much_in_it_is_not_made_and_harms_no_other(tools: McpTools, runtime: Runtime) -> None:
    before = await call(tools, "ping")
    refused = await call(tools, "ping", text="x" * (16 << 20))
    assert refused.text.startswith("Not called: the MCP server odd cannot be given that much")
    assert (refused.failed, refused.unknown) == (True, False)
    assert await call(tools, "ping", text="x" * (1 << 20)) == before
    assert await made(runtime) == ["ping", "ping"]


async def test_a_server_that_does_not_start_again_in_time_is_told_and_not_called(
    tools: McpTools, runtime: Runtime
) -> None:
    await runtime.files.write("slow", b"")
    assert await call(tools, "answer_and_end") == McpDone(text="answered")
    refused = await call(tools, "ping", timeout=1)
    assert refused == McpDone(text="Not called: the MCP server odd did not answer within 1 seconds.", failed=True)
    assert await made(runtime) == ["answer_and_end"]


async def test_a_server_whose_sandbox_was_lost_is_greeted_in_the_next_one(tools: McpTools, runtime: Runtime) -> None:
    first = await call(tools, "ping")
    executor = int((await run(runtime, 0, "echo $PPID")).output)
    calling = asyncio.create_task(call(tools, "hang"))
    while "hang" not in await made(runtime):  # noqa: ASYNC110
        await asyncio.sleep(0.02)  # nothing tells us but the file itself
    os.kill(executor, signal.SIGKILL)
    assert await calling == McpDone(text="The MCP server odd was lost.", unknown=True)
    again = await call(tools, "ping")
    assert again.text.startswith("pong")
    assert again != first
    assert await made(runtime) == ["ping", "hang", "ping"]
