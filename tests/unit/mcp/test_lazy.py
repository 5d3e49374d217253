"""A server without the SDK says what to install, when a conversation needs it."""

from openhands_sessions.adapters.mcp.lazy import MISSING, LazyMcpServers
from openhands_sessions.core.mcp_servers import McpConfig
from openhands_sessions.ports.mcp import CallMcp, McpServers
from tests.fakes.runtime import EchoPrograms


async def test_a_missing_sdk_is_told() -> None:
    def load() -> McpServers:
        raise ImportError("mcp")

    async with LazyMcpServers(load).open(McpConfig(), EchoPrograms()) as tools:
        assert (list(tools.functions), list(tools.problems)) == ([], [MISSING])
        assert (await tools.call(CallMcp(name="x", arguments={}))).failed
