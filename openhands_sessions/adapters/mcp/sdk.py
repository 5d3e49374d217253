"""MCP servers by the official SDK: HTTP servers are connected from here, the others run in the sandbox."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import count
from urllib.parse import urlsplit

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp import types
from mcp.client._transport import TransportStreams
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.message import SessionMessage

from openhands_sessions.adapters.mcp.connection import McpConnection
from openhands_sessions.core.errors import RuntimeFailure
from openhands_sessions.core.settings import HttpServer, McpConfig, StdioServer
from openhands_sessions.ports.mcp import CallMcp, McpDone, McpFunction, McpTools
from openhands_sessions.ports.programs import CutLine, Programs, ProgramSession, ProgramSpec

CONNECT_SECONDS = 30.0
CALL_SECONDS = 120.0
LONGEST_DESCRIPTION = 4_000
LONGEST_NAME = 64
"""Characters that model providers allow in the name of a function."""
_ODD = re.compile(r"[^A-Za-z0-9_-]+")
Received = SessionMessage | Exception


class SdkMcpServers:
    """Each limit in seconds."""

    def __init__(self, *, connect: float = CONNECT_SECONDS) -> None:
        self._connect = connect

    @asynccontextmanager
    async def open(self, config: McpConfig, programs: Programs) -> AsyncIterator[McpTools]:
        servers = [
            McpConnection(_host(each.url), partial(sse_client, each.url, _headers(each))) for each in config.sse_servers
        ]
        servers += [McpConnection(_host(each.url), partial(_streamable, each)) for each in config.shttp_servers]
        servers += [McpConnection(each.name, partial(stdio_transport, each, programs)) for each in config.stdio_servers]
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


@asynccontextmanager
async def stdio_transport(server: StdioServer, programs: Programs) -> AsyncIterator[TransportStreams]:
    """Runs the program in the sandbox for the length of the block and speaks over its standard input and output."""
    spec = ProgramSpec(words=(server.command, *server.args), environment=server.env)
    async with programs.open(spec) as program, anyio.create_task_group() as group:
        received, reader = anyio.create_memory_object_stream[Received](0)
        writer, sent = anyio.create_memory_object_stream[SessionMessage](0)
        group.start_soon(_receive, program, received)
        group.start_soon(_send, program, sent, received)
        yield reader, writer
        for stream in (reader, writer):
            stream.close()
        group.cancel_scope.cancel()


async def _receive(program: ProgramSession, received: MemoryObjectSendStream[Received]) -> None:
    async with received:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async for line in program.lines():
                if isinstance(line, CutLine):
                    continue
                try:
                    message = types.jsonrpc_message_adapter.validate_json(line, by_name=False)
                except ValueError:
                    continue  # programs also print text that is not a message
                await received.send(SessionMessage(message))


async def _send(
    program: ProgramSession, sent: MemoryObjectReceiveStream[SessionMessage], received: MemoryObjectSendStream[Received]
) -> None:
    async with sent:
        try:
            async for message in sent:
                await program.write(message.message.model_dump_json(by_alias=True, exclude_unset=True))
        except RuntimeFailure:
            await received.aclose()  # ends the requests that wait for an answer
