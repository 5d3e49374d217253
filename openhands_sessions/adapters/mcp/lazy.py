"""Loads the MCP SDK for the first conversation with MCP servers, if it is installed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from openhands_sessions.core.mcp_servers import McpConfig
from openhands_sessions.ports.mcp import CallMcp, CurrentConfig, McpDone, McpFunction, McpServers, McpTools
from openhands_sessions.ports.programs import Programs

MISSING = "MCP servers are not used: the package `mcp` is missing; add it with `pip install mcp`."


class LazyMcpServers:
    """`load` raises ImportError where the SDK is missing."""

    def __init__(self, load: Callable[[], McpServers]) -> None:
        self._load = load

    @asynccontextmanager
    async def open(
        self, config: McpConfig, programs: Programs, *, current: CurrentConfig | None = None
    ) -> AsyncIterator[McpTools]:
        try:
            servers = await asyncio.to_thread(self._load)
        except ImportError:
            yield NoMcpTools()
            return
        async with servers.open(config, programs, current=current) as tools:
            yield tools


class NoMcpTools:
    """The tools without the SDK: none."""

    functions: Sequence[McpFunction] = ()
    problems: Sequence[str] = (MISSING,)

    async def call(self, call: CallMcp) -> McpDone:
        return McpDone(text=f"Not called. {MISSING}", failed=True)
