"""MCP servers by the official SDK: HTTP servers are connected from here, the others run in the sandbox."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import urlsplit

from mcp.client._transport import TransportStreams
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

from openhands_sessions.adapters.mcp.connection import McpConnection
from openhands_sessions.adapters.mcp.stdio import stdio_streams
from openhands_sessions.adapters.mcp.tool_names import ToolNames
from openhands_sessions.core.mcp import HttpServer, McpConfig
from openhands_sessions.ports.mcp import CallMcp, McpDone, McpFunction, McpTools
from openhands_sessions.ports.programs import Programs

CONNECT_SECONDS = 30.0
CALL_SECONDS = 120.0
LONGEST_DESCRIPTION = 4_000


class SdkMcpServers:
    """Each limit in seconds."""

    def __init__(self, *, connect: float = CONNECT_SECONDS) -> None:
        self._connect = connect

    @asynccontextmanager
    async def open(self, config: McpConfig, programs: Programs) -> AsyncIterator[McpTools]:
        servers = [McpConnection(_host(each.url), partial(_sse, each)) for each in config.sse_servers]
        servers += [McpConnection(_host(each.url), partial(_streamable, each)) for each in config.shttp_servers]
        servers += [McpConnection(each.name, partial(stdio_streams, each, programs)) for each in config.stdio_servers]
        try:
            problems = await asyncio.gather(*(server.connected(self._connect) for server in servers))
            yield SdkMcpTools(list(zip(servers, problems, strict=True)))
        finally:
            await asyncio.gather(*(server.close() for server in servers))


class SdkMcpTools:
    """The tools of the servers that could be connected."""

    def __init__(self, servers: Sequence[tuple[McpConnection, str | None]]) -> None:
        names = ToolNames()
        self._called: dict[str, tuple[McpConnection, str]] = {}
        self.problems: Sequence[str] = tuple(
            f"The MCP server {server.name} is not used: {why}." for server, why in servers if why
        )
        functions = []
        for server, problem in servers:
            for tool in server.tools if problem is None else ():
                name = names.take(server.name, tool.name)
                self._called[name] = (server, tool.name)
                described = (tool.description or tool.name)[:LONGEST_DESCRIPTION]
                functions.append(McpFunction(name=name, description=described, parameters=tool.input_schema))
        self.functions: Sequence[McpFunction] = tuple(functions)

    async def call(self, call: CallMcp) -> McpDone:
        if call.name not in self._called:
            return McpDone(text=f"Not called: no MCP server offers {call.name} now.", failed=True)
        server, tool = self._called[call.name]
        return await server.call(tool, call.arguments, CALL_SECONDS if call.timeout is None else call.timeout)


@asynccontextmanager
async def _sse(server: HttpServer) -> AsyncIterator[TransportStreams]:
    async with sse_client(server.url, headers=_headers(server)) as streams:
        yield streams


@asynccontextmanager
async def _streamable(server: HttpServer) -> AsyncIterator[TransportStreams]:
    async with (
        create_mcp_http_client(headers=_headers(server)) as client,
        streamable_http_client(server.url, http_client=client) as streams,
    ):
        yield streams


def _headers(server: HttpServer) -> dict[str, str]:
    return {} if server.api_key is None else {"Authorization": f"Bearer {server.api_key.get_secret_value()}"}


def _host(url: str) -> str:
    return urlsplit(url).hostname or "server"
