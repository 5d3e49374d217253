"""Opens the MCP servers that the settings of a conversation name."""

from collections.abc import Sequence
from contextlib import AsyncExitStack

from openhands_sessions.core.mcp_servers import McpConfig
from openhands_sessions.ports.mcp import CallMcp, CurrentConfig, McpDone, McpFunction, McpServers, McpTools
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


def joined(functions: McpTools | None, servers: McpTools | None) -> McpTools | None:
    """Both as one; None where there is neither."""
    if functions is None or servers is None:
        return functions or servers
    return JoinedMcpTools(functions, servers)


class JoinedMcpTools:
    """The functions of a program, with ours, and the tools of servers. Their names differ: those of servers begin with
    `mcp_`, and of two that are alike the program's counts."""

    def __init__(self, functions: McpTools, servers: McpTools) -> None:
        self._named = {each.name for each in functions.functions}
        self._program = functions
        self._servers = servers
        others = (each for each in servers.functions if each.name not in self._named)
        self.functions: Sequence[McpFunction] = (*functions.functions, *others)
        self.problems: Sequence[str] = (*functions.problems, *servers.problems)

    async def call(self, call: CallMcp) -> McpDone:
        return await (self._program if call.name in self._named else self._servers).call(call)
