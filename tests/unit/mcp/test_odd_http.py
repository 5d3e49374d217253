"""MCP servers over HTTP that answer oddly: only the call that it concerns is affected, and what is said of it is
true."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from openhands_sessions.adapters.mcp.sdk import SdkMcpServers
from openhands_sessions.core.mcp_servers import McpConfig
from openhands_sessions.ports.mcp import CallMcp, McpDone, McpTools
from tests.fakes.runtime import EchoPrograms
from tests.support.odd_mcp_http import OddMcpHttp, odd_mcp_http

NAME = "The MCP server 127.0.0.1"


@pytest.fixture
async def odd(free_port: int) -> AsyncIterator[OddMcpHttp]:
    async with odd_mcp_http(free_port) as odd:
        yield odd


@pytest.fixture
async def tools(odd: OddMcpHttp) -> AsyncIterator[McpTools]:
    config = McpConfig.model_validate({"shttp_servers": [odd.url]})
    async with asyncio.timeout(60), SdkMcpServers().open(config, EchoPrograms()) as tools:
        yield tools


async def call(tools: McpTools, name: str, timeout: float = 20, **arguments: str) -> McpDone:
    return await tools.call(CallMcp(name=f"mcp_127_0_0_1_{name}", arguments=arguments, timeout=timeout))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("hang_up", "was lost"),
        ("events", "was lost"),
        ("no_json", "gave an answer that cannot be used"),
        ("accepted", "gave an answer that cannot be used"),
        ("broken", "gave an answer that cannot be used"),
        ("too_long", "gave an answer of more than 16 MiB, which cannot be used"),
    ],
)
async def test_a_call_without_a_usable_answer_is_unknown_and_no_other_call_is_affected(
    tools: McpTools, odd: OddMcpHttp, name: str, words: str
) -> None:
    waiting = asyncio.create_task(call(tools, "wait"))
    assert await call(tools, name) == McpDone(text=f"{NAME} {words}.", unknown=True)
    odd.released.set()
    assert await waiting == McpDone(text="waited")
    assert await call(tools, "ping") == McpDone(text="ping")
    assert odd.calls.count(name) == 1
    assert odd.sessions == 1


@pytest.mark.parametrize(("code", "unknown"), [("401", False), ("403", False), ("429", False), ("502", True)])
async def test_an_error_of_http_tells_whether_the_call_was_refused(
    tools: McpTools, odd: OddMcpHttp, code: str, unknown: bool
) -> None:
    done = await call(tools, "status", code=code)
    assert (done.failed, done.unknown) == (not unknown, unknown)
    assert f"answered with HTTP status {code}" in done.text
    assert await call(tools, "ping") == McpDone(text="ping")
    assert (odd.calls, odd.sessions) == (["status", "ping"], 1)


@pytest.mark.parametrize("way", ["forget", "lose"])
async def test_a_session_that_was_forgotten_is_begun_anew_and_the_call_made_once(
    tools: McpTools, odd: OddMcpHttp, way: str
) -> None:
    assert await call(tools, way) == McpDone(text=way)
    answers = await asyncio.gather(*(call(tools, "ping") for _ in range(3)))
    assert answers == [McpDone(text="ping")] * 3
    assert odd.calls == [way, "ping", "ping", "ping"]
    assert odd.sessions == 3


async def test_a_call_in_a_forgotten_session_that_goes_on_gets_its_answer(tools: McpTools, odd: OddMcpHttp) -> None:
    waiting = asyncio.create_task(call(tools, "wait"))
    assert await call(tools, "lose") == McpDone(text="lose")
    assert await call(tools, "ping") == McpDone(text="ping")
    odd.released.set()
    assert await waiting == McpDone(text="waited")


async def test_nothing_is_unknown_of_a_call_that_was_never_sent(free_port: int) -> None:
    async with odd_mcp_http(free_port) as odd:
        config = McpConfig.model_validate({"shttp_servers": [odd.url]})
        servers = SdkMcpServers().open(config, EchoPrograms())
        tools = await servers.__aenter__()
    async with asyncio.timeout(20):
        done = await call(tools, "ping")
        await servers.__aexit__(None, None, None)
    assert (done.failed, done.unknown) == (True, False)
    assert done.text.startswith("Not called: the MCP server 127.0.0.1 cannot be used: it cannot be reached (")
    assert odd.calls == []


async def test_a_call_has_the_key_that_its_owner_has_given_last(odd: OddMcpHttp) -> None:
    def having(key: str) -> McpConfig:
        return McpConfig.model_validate({"shttp_servers": [{"url": odd.url, "api_key": key}]})

    now = having("first")
    async with asyncio.timeout(60), SdkMcpServers().open(now, EchoPrograms(), current=lambda: now) as tools:
        for key in ("first", "second", "third"):
            now = having(key)
            assert await call(tools, "ping") == McpDone(text="ping")
        now = McpConfig()
        assert await call(tools, "ping") == McpDone(text="ping")
    assert odd.keys == ["Bearer first", "Bearer second", "Bearer third", "Bearer first"]
    assert odd.sessions == 1
