"""Opens the MCP servers that the settings of a conversation name."""

from contextlib import AsyncExitStack

from openhands_sessions.core.mcp_servers import McpConfig
from openhands_sessions.ports.mcp import CurrentConfig, McpServers, McpTools
from openhands_sessions.ports.runtime import Runtime


async def open_mcp(
    stack: AsyncExitStack,
    servers: McpServers | None,
    config: McpConfig | None,
    runtime: Runtime,
    current: CurrentConfig,
) -> McpTools | None:
    """On `stack`; None where none are named. `current` as `McpServers.open` has it."""
    if servers is None or config is None or config.empty:
        return None
    return await stack.enter_async_context(servers.open(config, runtime.programs, current=current))
