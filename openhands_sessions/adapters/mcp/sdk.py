"""MCP servers by the official SDK: HTTP servers are connected from here, the others run in the sandbox."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from urllib.parse import urlsplit

from mcp.client._transport import TransportStreams
from mcp.client.streamable_http import streamable_http_client

from openhands_sessions.adapters.mcp.http import Headers, McpHttpClient
from openhands_sessions.adapters.mcp.server import McpServer
from openhands_sessions.adapters.mcp.sse import sse_transport
from openhands_sessions.adapters.mcp.stdio import stdio_transport
from openhands_sessions.core.mcp_servers import HttpServer, McpConfig
from openhands_sessions.ports.mcp import CallMcp, CurrentConfig, McpDone, McpFunction, McpTools
from openhands_sessions.ports.programs import LONGEST_LINE, Programs

CONNECT_SECONDS = 30.0
CALL_SECONDS = 120.0
LONGEST_DESCRIPTION = 4_000
LONGEST_NAME = 64
"""Characters that model providers allow in the name of a function."""
_LONGEST_EVENT = LONGEST_LINE + 1024
_ODD = re.compile(r"[^A-Za-z0-9_-]+")


class SdkMcpServers:
    """Each limit in seconds."""

    def __init__(self, *, connect: float = CONNECT_SECONDS) -> None:
        self._connect = connect

    @asynccontextmanager
    async def open(
        self, config: McpConfig, programs: Programs, *, current: CurrentConfig | None = None
    ) -> AsyncIterator[McpTools]:
        servers = [
            McpServer(_host(each.url), partial(sse_transport, each.url, _headers(each, current)), self._connect)
            for each in config.sse_servers
        ]
        servers += [
            McpServer(_host(each.url), partial(_streamable, each.url, _headers(each, current)), self._connect)
            for each in config.shttp_servers
        ]
        servers += [
            McpServer(each.name, partial(stdio_transport, each, programs), self._connect)
            for each in config.stdio_servers
        ]
        try:
            await asyncio.gather(*(server.open() for server in servers))
            yield SdkMcpTools(servers)
        finally:
            await asyncio.gather(*(server.close() for server in servers))


class SdkMcpTools:
    """The tools of the servers that could be connected."""

    def __init__(self, servers: Sequence[McpServer]) -> None:
        names = ToolNames()
        self._called: dict[str, tuple[McpServer, str]] = {}
        self.problems: Sequence[str] = tuple(
            f"The MCP server {server.name} is not used: {server.problem}." for server in servers if server.problem
        )
        functions = []
        for server in servers:
            for tool in server.tools:
                name = names.take(server.name, tool.name)
                self._called[name] = (server, tool.name)
                described = (tool.description or tool.name)[:LONGEST_DESCRIPTION]
                read_only = tool.annotations is not None and tool.annotations.read_only_hint is True
                functions.append(
                    McpFunction(name=name, description=described, parameters=tool.input_schema, read_only=read_only)
                )
        self.functions: Sequence[McpFunction] = tuple(functions)

    async def call(self, call: CallMcp) -> McpDone:
        if call.name not in self._called:
            return McpDone(text=f"Not called: no MCP server offers {call.name} now.", failed=True)
        server, tool = self._called[call.name]
        return await server.call(tool, call.arguments, CALL_SECONDS if call.timeout is None else call.timeout)


@asynccontextmanager
async def _streamable(url: str, headers: Headers, on_end: Callable[[], None]) -> AsyncIterator[TransportStreams]:
    """There is nothing to end: each call is a request of its own."""
    async with (
        McpHttpClient(headers) as client,
        streamable_http_client(url, http_client=client, max_sse_event_size=_LONGEST_EVENT) as streams,
    ):
        yield streams


def _headers(server: HttpServer, current: CurrentConfig | None) -> Headers:
    """The headers of each request, with the key that its owner has given last."""

    def headers() -> dict[str, str]:
        config = None if current is None else current()
        known = () if config is None else (*config.sse_servers, *config.shttp_servers)
        now = server if server in known else next((each for each in known if each.url == server.url), server)
        return {} if now.api_key is None else {"Authorization": f"Bearer {now.api_key.get_secret_value()}"}

    return headers


def _host(url: str) -> str:
    return urlsplit(url).hostname or "server"


class ToolNames:
    """Makes names that are unique and valid as function names."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, server: str, tool: str) -> str:
        name = next(each for each in _candidates(server, tool) if each not in self._taken)
        self._taken.add(name)
        return name


def _candidates(server: str, tool: str) -> Iterator[str]:
    name = f"mcp_{_plain(server)}_{_plain(tool)}"
    yield name[:LONGEST_NAME]
    for number in count(2):
        ending = f"_{number}"
        yield name[: LONGEST_NAME - len(ending)] + ending


def _plain(text: str) -> str:
    return _ODD.sub("_", text).strip("_") or "x"
