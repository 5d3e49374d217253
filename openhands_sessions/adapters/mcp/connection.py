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


class McpConnection:
    """Runs in a task of its own: the SDK's task groups must be left by the task that entered them, and a failure in one
    must not cancel its callers."""

    def __init__(self, name: str, transport: Transport) -> None:
        self.name = name
        self.tools: list[types.Tool] = []
        self._transport = transport
        self._ready = asyncio.Event()
        self._closing = asyncio.Event()
        self._session: ClientSession | None = None
        self._task = asyncio.create_task(self._run(), name=f"mcp server {name}")

    async def connected(self, within: float) -> str | None:
        """Wait until the server can be used; returns the reason where it cannot."""
        ready = asyncio.create_task(self._ready.wait())
        try:
            await asyncio.wait({ready, self._task}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if self._ready.is_set():
            return None
        if not self._task.done():
            return f"it did not answer within {within:.0f} seconds"
        return _problem(self._task)

    async def call(self, tool: str, arguments: Mapping[str, Json], timeout: float) -> McpDone:
        if self._session is None or self._task.done():
            return McpDone(text=f"Not called: the MCP server {self.name} is gone.", failed=True)
        calling = asyncio.create_task(self._session.call_tool(tool, dict(arguments)))
        try:
            done, _ = await asyncio.wait({calling, self._task}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not calling.done():
                calling.cancel()
                await asyncio.wait({calling})
        if calling in done:
            return _result_of(calling, self.name)
        why = "was lost" if self._task in done else f"did not answer within {timeout:.0f} seconds"
        return McpDone(text=f"The MCP server {self.name} {why}.", unknown=True)

    async def close(self) -> None:
        self._closing.set()
        await asyncio.wait({self._task}, timeout=_CLOSE_SECONDS)
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.exception()  # mark it as retrieved

    async def _run(self) -> None:
        async with self._transport() as (read, write), ClientSession(read, write) as session:
            await session.initialize()
            await self._list_tools(session)
            self._session = session
            self._ready.set()
            await self._closing.wait()

    async def _list_tools(self, session: ClientSession) -> None:
        cursor: str | None = None
        while len(self.tools) < MOST_TOOLS:
            page = await session.list_tools(params=types.PaginatedRequestParams(cursor=cursor))
            self.tools.extend(page.tools)
            cursor = page.next_cursor
            if not cursor:
                break
        del self.tools[MOST_TOOLS:]


def _result_of(calling: "asyncio.Task[Any]", server: str) -> McpDone:
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


def _problem(task: "asyncio.Task[None]") -> str:
    error = None if task.cancelled() else task.exception()
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return "it ended at once" if error is None else f"it cannot be reached ({type(error).__name__})"
