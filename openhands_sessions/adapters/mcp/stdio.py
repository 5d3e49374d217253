"""MCP servers that are programs in the sandbox."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress

import anyio
from anyio.streams.memory import MemoryObjectSendStream
from mcp import types
from mcp.client._transport import TransportStreams
from mcp.shared.message import SessionMessage

from openhands_sessions.adapters.mcp.answers import fault_message, read_message
from openhands_sessions.adapters.mcp.attempts import CallFault, FaultKind, note_sending
from openhands_sessions.adapters.mcp.streams import DirectWriter, Received
from openhands_sessions.core.errors import NotAsked, RuntimeUnavailable, TooLarge
from openhands_sessions.core.mcp_servers import StdioServer
from openhands_sessions.ports.programs import Programs, ProgramSession, ProgramSpec


@asynccontextmanager
async def stdio_transport(
    server: StdioServer, programs: Programs, on_end: Callable[[], None]
) -> AsyncIterator[TransportStreams]:
    """Runs the program in the sandbox for the length of the block and speaks over its standard input and output."""
    spec = ProgramSpec(words=(server.command, *server.args), environment=server.env)

    async def write(message: types.JSONRPCMessage) -> None:
        note_sending()
        try:
            key = str(message.id) if isinstance(message, types.JSONRPCRequest) else ""
            await program.write(message.model_dump_json(by_alias=True, exclude_unset=True), key)
        except NotAsked as error:
            raise CallFault(FaultKind.UNSENT, "has ended") from error
        except TooLarge as error:
            raise CallFault(FaultKind.REFUSED, f"cannot be given that much: {error.message}") from error
        except RuntimeUnavailable as error:
            raise CallFault(FaultKind.UNKNOWN, "was lost") from error

    async with programs.open(spec) as program, anyio.create_task_group() as group:
        received, reader = anyio.create_memory_object_stream[Received](0)
        group.start_soon(_receive, program, received, on_end)
        yield reader, DirectWriter(write)
        reader.close()
        group.cancel_scope.cancel()


async def _receive(
    program: ProgramSession, received: MemoryObjectSendStream[Received], on_end: Callable[[], None]
) -> None:
    async with received, aclosing(program.lines()) as lines:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async for line in lines:
                if message := read_message(line):
                    await received.send(SessionMessage(message))
            on_end()
            for number in program.unread:
                await received.send(SessionMessage(fault_message(number, CallFault(FaultKind.UNSENT, "has ended"))))
    on_end()
