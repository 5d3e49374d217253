"""A connection to one MCP server, by the official SDK."""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from mcp import ClientSession, MCPError, types
from mcp.client._transport import TransportStreams

from openhands_sessions.core.events.event import Json
from openhands_sessions.ports.mcp import McpDone

Transport = Callable[[], AbstractAsyncContextManager[TransportStreams]]

MOST_TOOLS = 200
_CLOSE_SECONDS = 3.0
_NO_ANSWER = (types.REQUEST_TIMEOUT, types.CONNECTION_CLOSED)


class McpServer:
    """Runs in its own task: the SDK's task groups must be left by the task that entered them, and an error in one must
    not cancel the caller."""

    def __init__(self, name: str, transport: Transport) -> None:
        self.name = name
        self.tools: list[types.Tool] = []
        self._transport = transport
        self._ready = asyncio.Event()
        self._ending = asyncio.Event()
        self._session: ClientSession | None = None
        self._life = asyncio.create_task(self._live(), name=f"mcp server {name}")

    async def connected(self, within: float) -> str | None:
        """Wait until the server can be used. Returns the problem, or None."""
        ready = asyncio.create_task(self._ready.wait())
        try:
            await asyncio.wait({ready, self._life}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if self._ready.is_set():
            return None
        if not self._life.done():
            return f"it did not answer within {within:.0f} seconds"
        return _problem(self._life)

    async def call(self, tool: str, arguments: Mapping[str, Json], timeout: float) -> McpDone:
        if self._session is None or self._life.done():
            return McpDone(text=f"Not called: the MCP server {self.name} is gone.", failed=True)
        calling = asyncio.create_task(self._session.call_tool(tool, dict(arguments)))
        try:
            done, _ = await asyncio.wait({calling, self._life}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not calling.done():
                calling.cancel()
                await asyncio.wait({calling})
        if calling in done:
            return _answered(calling, self.name)
        why = "was lost" if self._life in done else f"did not answer within {timeout:.0f} seconds"
        return McpDone(text=f"The MCP server {self.name} {why}.", unknown=True)

    async def close(self) -> None:
        self._ending.set()
        await asyncio.wait({self._life}, timeout=_CLOSE_SECONDS)
        if not self._life.done():
            self._life.cancel()
            await asyncio.wait({self._life})
        if not self._life.cancelled():
            self._life.exception()  # retrieves it, so that asyncio does not log it

    async def _live(self) -> None:
        async with self._transport() as (read, write), ClientSession(read, write) as session:
            await session.initialize()
            await self._list_tools(session)
            self._session = session
            self._ready.set()
            await self._ending.wait()

    async def _list_tools(self, session: ClientSession) -> None:
        cursor: str | None = None
        while len(self.tools) < MOST_TOOLS:
            page = await session.list_tools(params=types.PaginatedRequestParams(cursor=cursor))
            self.tools.extend(page.tools)
            cursor = page.next_cursor
            if not cursor:
                break
        del self.tools[MOST_TOOLS:]


def _answered(calling: "asyncio.Task[Any]", server: str) -> McpDone:
    if calling.cancelled():
        return McpDone(text=f"The MCP server {server} was lost.", unknown=True)
    match calling.exception():
        case None:
            return _done(calling.result())
        case MCPError() as error if error.error.code in _NO_ANSWER:
            return McpDone(text=f"The MCP server {server} was lost.", unknown=True)
        case MCPError() as error:
            return McpDone(text=error.error.message, failed=True)
        case error:
            problem = f"The MCP server {server} gave an answer that cannot be used ({type(error).__name__})."
            return McpDone(text=problem, unknown=True)


def _done(result: object) -> McpDone:
    if not isinstance(result, types.CallToolResult):
        return McpDone(text="The tool asked for input, which cannot be given here.", failed=True)
    parts = [_text(part) for part in result.content]
    if not parts and result.structured_content is not None:
        parts = [json.dumps(result.structured_content, ensure_ascii=False)]
    return McpDone(text="\n".join(parts), failed=bool(result.is_error))


def _text(part: object) -> str:
    match part:
        case types.TextContent(text=text):
            return text
        case types.EmbeddedResource(resource=types.TextResourceContents(text=text)):
            return text
        case types.EmbeddedResource(resource=resource):
            return f"[resource {resource.uri}]"
        case types.ResourceLink(uri=uri):
            return f"[resource {uri}]"
        case types.ImageContent(mime_type=kind) | types.AudioContent(mime_type=kind):
            return f"[{kind} left out]"
        case _:
            return "[unknown content left out]"


def _problem(life: "asyncio.Task[None]") -> str:
    error = None if life.cancelled() else life.exception()
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return "it ended at once" if error is None else f"it cannot be reached ({type(error).__name__})"
