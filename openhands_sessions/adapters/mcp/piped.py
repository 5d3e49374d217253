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

Heard = SessionMessage | Exception


@asynccontextmanager
async def piped(server: StdioServer, programs: Programs) -> AsyncIterator[TransportStreams]:
    """The program ends with the block."""
    spoken = ProgramSpec(words=(server.command, *server.args), environment=server.env)
    async with programs.open(spoken) as conversation, anyio.create_task_group() as group:
        heard, hearing = anyio.create_memory_object_stream[Heard](0)
        saying, said = anyio.create_memory_object_stream[SessionMessage](0)
        group.start_soon(_listen, conversation, heard)
        group.start_soon(_speak, conversation, said, heard)
        yield hearing, saying
        for stream in (hearing, saying):
            stream.close()
        group.cancel_scope.cancel()


async def _listen(conversation: ProgramSession, heard: MemoryObjectSendStream[Heard]) -> None:
    async with heard:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async for line in conversation.lines():
                try:
                    message = types.jsonrpc_message_adapter.validate_json(line, by_name=False)
                except ValueError:
                    continue  # programs also print what is no message
                await heard.send(SessionMessage(message))


async def _speak(
    conversation: ProgramSession,
    said: MemoryObjectReceiveStream[SessionMessage],
    heard: MemoryObjectSendStream[Heard],
) -> None:
    async with said:
        try:
            async for message in said:
                await conversation.write(message.message.model_dump_json(by_alias=True, exclude_unset=True))
        except RuntimeFailure:
            await heard.aclose()  # so that nobody waits for an answer
