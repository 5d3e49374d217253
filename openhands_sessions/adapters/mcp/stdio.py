"""MCP over the standard input and output of a program inside the sandbox."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp import types
from mcp.client._transport import TransportStreams
from mcp.shared.message import SessionMessage

from openhands_sessions.core.errors import RuntimeFailure
from openhands_sessions.core.mcp import StdioServer
from openhands_sessions.ports.programs import Programs, ProgramSession, ProgramSpec

Received = SessionMessage | Exception


@asynccontextmanager
async def stdio_streams(server: StdioServer, programs: Programs) -> AsyncIterator[TransportStreams]:
    """The program ends with the block."""
    program = ProgramSpec(words=(server.command, *server.args), environment=server.env)
    async with programs.open(program) as session, anyio.create_task_group() as group:
        received, received_stream = anyio.create_memory_object_stream[Received](0)
        outgoing, outgoing_stream = anyio.create_memory_object_stream[SessionMessage](0)
        group.start_soon(_receive, session, received)
        group.start_soon(_send, session, outgoing_stream, received)
        yield received_stream, outgoing
        for stream in (received_stream, outgoing):
            stream.close()
        group.cancel_scope.cancel()


async def _receive(session: ProgramSession, received: MemoryObjectSendStream[Received]) -> None:
    async with received:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async for line in session.lines():
                try:
                    message = types.jsonrpc_message_adapter.validate_json(line, by_name=False)
                except ValueError:
                    continue  # programs print other lines, too
                await received.send(SessionMessage(message))


async def _send(
    session: ProgramSession,
    outgoing_stream: MemoryObjectReceiveStream[SessionMessage],
    received: MemoryObjectSendStream[Received],
) -> None:
    async with outgoing_stream:
        try:
            async for message in outgoing_stream:
                await session.write(message.message.model_dump_json(by_alias=True, exclude_unset=True))
        except RuntimeFailure:
            await received.aclose()  # ends the wait for answers
