"""One MCP server of a conversation: greeted at the start, and again where it has ended or forgot the session."""

import asyncio
from collections.abc import Mapping, Sequence

from mcp import MCPError, types

from openhands_sessions.adapters.mcp.attempts import CallAttempt, CallFault, FaultKind
from openhands_sessions.adapters.mcp.connection import McpConnection
from openhands_sessions.adapters.mcp.results import done
from openhands_sessions.adapters.mcp.streams import Transport
from openhands_sessions.core.events.event import Json
from openhands_sessions.ports.mcp import McpDone

_UNUSABLE = "cannot be used: "


class McpServer:
    """Has at most one session that takes calls. `within` limits a greeting, in seconds."""

    def __init__(self, name: str, transport: Transport, within: float) -> None:
        self.name = name
        self.tools: Sequence[types.Tool] = ()
        self.problem: str | None = None
        """Why it cannot be used, where the first greeting failed."""
        self._transport = transport
        self._within = within
        self._greeting = asyncio.Lock()
        self._connection: McpConnection | None = None
        self._retired: set[McpConnection] = set()

    async def open(self) -> None:
        """Greet it for the first time and learn its tools."""
        try:
            self.tools = (await self._greeted()).tools
        except CallFault as fault:
            self.problem = fault.words.removeprefix(_UNUSABLE)

    async def call(self, tool: str, arguments: Mapping[str, Json], timeout: float) -> McpDone:
        """Call once. A call that was certainly not carried out is made once more, in a new session."""
        attempt = CallAttempt()
        try:
            async with asyncio.timeout(timeout):
                try:
                    return await self._try(tool, arguments, attempt)
                except CallFault as fault:
                    if fault.kind is not FaultKind.UNSENT:
                        raise
                attempt = CallAttempt()
                return await self._try(tool, arguments, attempt)
        except CallFault as fault:
            return self._told(fault)
        except MCPError as error:
            return McpDone(text=error.error.message, failed=True)
        except TimeoutError:
            kind = FaultKind.UNKNOWN if attempt.sent else FaultKind.REFUSED
            return self._told(CallFault(kind, f"did not answer within {timeout:.0f} seconds"))

    async def close(self) -> None:
        connections = self._retired if self._connection is None else {self._connection, *self._retired}
        await asyncio.gather(*(connection.close() for connection in connections))

    async def _try(self, tool: str, arguments: Mapping[str, Json], attempt: CallAttempt) -> McpDone:
        """Raises CallFault; of the kind UNSENT, the session is over with it. Raises MCPError."""
        connection = await self._greeted()
        try:
            return done(await connection.call(tool, arguments, attempt))
        except CallFault as fault:
            if fault.kind is FaultKind.UNSENT:
                connection.retire()
            raise

    async def _greeted(self) -> McpConnection:
        """The session, a new one where the old one is over. Raises CallFault."""
        async with self._greeting:
            if self._connection is None or self._connection.over:
                self._replace(McpConnection(self.name, self._transport))
            connection = self._connection
            assert connection is not None
            problem = await connection.connected(self._within)
            if problem is None:
                return connection
            self._replace(None)
            await connection.close()
            raise CallFault(FaultKind.REFUSED, _UNUSABLE + problem)

    def _replace(self, connection: McpConnection | None) -> None:
        self._retired = {old for old in self._retired if not old.closed}
        if self._connection is not None:
            self._connection.retire()
            self._retired.add(self._connection)
        self._connection = connection

    def _told(self, fault: CallFault) -> McpDone:
        if fault.kind is FaultKind.UNKNOWN:
            return McpDone(text=f"The MCP server {self.name} {fault.words}.", unknown=True)
        return McpDone(text=f"Not called: the MCP server {self.name} {fault.words}.", failed=True)
