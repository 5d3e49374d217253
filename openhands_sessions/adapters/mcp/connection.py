"""One session with an MCP server, by the official SDK: greeted once, until the server ends or forgets it."""

import asyncio
from collections.abc import Mapping
from contextvars import copy_context

from httpx2 import HTTPStatusError
from mcp import ClientSession, MCPError, types

from openhands_sessions.adapters.mcp.answers import TOO_LONG, UNREADABLE
from openhands_sessions.adapters.mcp.attempts import ATTEMPT, CallAttempt, CallFault, FaultKind
from openhands_sessions.adapters.mcp.streams import Transport
from openhands_sessions.core.errors import RuntimeFailure
from openhands_sessions.core.events.event import Json

MOST_TOOLS = 200
_CLOSE_SECONDS = 3.0
_SHOWN = 500
_LOST = ("Connection closed", "SSE stream")
"""How the SDK's own errors begin that it gives calls whose answer cannot come."""


class McpConnection:
    """Runs in a task of its own: the SDK's task groups must be left by the task that entered them, and a failure in one
    must not cancel its callers."""

    def __init__(self, name: str, transport: Transport) -> None:
        self.tools: list[types.Tool] = []
        self._transport = transport
        self._ready = asyncio.Event()
        self._ended = asyncio.Event()
        self._calls = 0
        self._closing = asyncio.Event()
        self._session: ClientSession | None = None
        self._task = asyncio.create_task(self._run(), name=f"mcp server {name}")

    @property
    def over(self) -> bool:
        """No call can be made any more."""
        return self._ended.is_set() or self._task.done()

    @property
    def closed(self) -> bool:
        return self._task.done()

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

    async def call(self, tool: str, arguments: Mapping[str, Json], attempt: CallAttempt) -> types.CallToolResult:
        """The result of a tool, in the SDK's form. Raises CallFault, and MCPError with an error that the server told.
        When cancelled, the server is told."""
        if self._session is None or self.over:
            raise CallFault(FaultKind.UNSENT, "has ended")
        context = copy_context()
        context.run(ATTEMPT.set, attempt)
        # Not `call_tool`: it asks the server for its tools when the answer is there, and fails with that request.
        params = types.CallToolRequestParams(name=tool, arguments=dict(arguments))
        request = self._session.send_request(types.CallToolRequest(params=params), types.CallToolResult)
        calling = asyncio.create_task(request, context=context)
        self._calls += 1
        try:
            await asyncio.wait({calling})
        finally:
            if not calling.done():
                calling.cancel()
                await asyncio.wait({calling})
            self._calls -= 1
            self._close_if_unused()
        return _result(calling, attempt)

    def retire(self) -> None:
        """Make no call in this session any more, and end it with the last one that is under way."""
        self._ended.set()
        self._close_if_unused()

    async def close(self) -> None:
        self._closing.set()
        if self._ready.is_set():
            await asyncio.wait({self._task}, timeout=_CLOSE_SECONDS)
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.exception()  # mark it as retrieved

    def _close_if_unused(self) -> None:
        if self._ended.is_set() and not self._calls:
            self._closing.set()

    async def _run(self) -> None:
        async with self._transport(self.retire) as (read, write), ClientSession(read, write) as session:
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


def _result(calling: "asyncio.Task[types.CallToolResult]", attempt: CallAttempt) -> types.CallToolResult:
    error = asyncio.CancelledError() if calling.cancelled() else calling.exception()
    match error:
        case None:
            return calling.result()
        case CallFault():
            raise error
        case MCPError():
            fault = _fault(error.error, attempt)
            raise error if fault is None else fault
        case asyncio.CancelledError():
            raise _lost(attempt)
        case _:
            raise CallFault(FaultKind.UNKNOWN, f"{UNREADABLE} ({type(error).__name__})")


def _fault(error: types.ErrorData, attempt: CallAttempt) -> CallFault | None:
    """The fault behind an error; None where it is the server's own word."""
    if isinstance(error.data, CallFault):
        return error.data
    if attempt.fault is not None:
        return attempt.fault
    if error.code == types.CONNECTION_CLOSED and error.message.startswith(_LOST):
        return CallFault(FaultKind.UNKNOWN, TOO_LONG) if "exceeded" in error.message else _lost(attempt)
    if error.code == types.PARSE_ERROR and error.message.startswith("Failed to parse"):
        return CallFault(FaultKind.UNKNOWN, UNREADABLE)
    return None


def _lost(attempt: CallAttempt) -> CallFault:
    return CallFault(FaultKind.UNKNOWN if attempt.sent else FaultKind.UNSENT, "was lost")


def _problem(task: "asyncio.Task[None]") -> str:
    error = None if task.cancelled() else task.exception()
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    match error:
        case None:
            return "it ended at once"
        case MCPError():
            ended = error.error.message.startswith(_LOST)
            return "it ended at once" if ended else f"it answered with an error: {error.error.message[:_SHOWN]}"
        case CallFault():
            return f"it {error.words}"
        case HTTPStatusError():
            return f"it cannot be reached: it answered with HTTP status {error.response.status_code}"
        case RuntimeFailure():
            return f"it cannot be reached: {error.message}"
        case _:
            return f"it cannot be reached ({type(error).__name__})"
