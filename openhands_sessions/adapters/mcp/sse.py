"""MCP servers over HTTP with a stream of events, as the older protocol has it."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from urllib.parse import urljoin, urlsplit

import anyio
import httpx2
from anyio.streams.memory import MemoryObjectSendStream
from mcp import types
from mcp.client._transport import TransportStreams
from mcp.shared._httpx_utils import stream_within_origin
from mcp.shared.message import SessionMessage

from openhands_sessions.adapters.mcp.answers import read_message
from openhands_sessions.adapters.mcp.attempts import ATTEMPT
from openhands_sessions.adapters.mcp.http import Headers, McpHttpClient, body, fault_of, lost, watch
from openhands_sessions.adapters.mcp.server_events import ServerEvent, read_events
from openhands_sessions.adapters.mcp.streams import DirectWriter, Received

_LONGEST_PROBLEM = 64 << 10


class NotAnEventStream(Exception):
    """The address answers, but not with the events of an MCP server."""


@asynccontextmanager
async def sse_transport(url: str, headers: Headers, on_end: Callable[[], None]) -> AsyncIterator[TransportStreams]:
    """Listens to the server's events for the length of the block; messages to it are requests of their own."""
    async with (
        McpHttpClient(headers) as client,
        stream_within_origin(
            client, "GET", url, headers={"Accept": "text/event-stream", "Cache-Control": "no-store"}
        ) as response,
    ):
        response.raise_for_status()
        async with aclosing(read_events(response.aiter_bytes())) as events:
            endpoint = await _endpoint(events, url)

            async def write(message: types.JSONRPCMessage) -> None:
                await _post(client, endpoint, message)

            async with anyio.create_task_group() as group:
                received, reader = anyio.create_memory_object_stream[Received](0)
                group.start_soon(_receive, events, received, on_end)
                yield reader, DirectWriter(write)
                reader.close()
                group.cancel_scope.cancel()


async def _endpoint(events: AsyncGenerator[ServerEvent, None], url: str) -> str:
    """Where messages go: on the same server. Raises NotAnEventStream."""
    async for event in events:
        if event.kind == "endpoint" and isinstance(event.data, str):
            endpoint = urljoin(url, event.data)
            if urlsplit(endpoint)[:2] == urlsplit(url)[:2]:
                return endpoint
        break
    raise NotAnEventStream


async def _receive(
    events: AsyncGenerator[ServerEvent, None], received: MemoryObjectSendStream[Received], on_end: Callable[[], None]
) -> None:
    async with received:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, httpx2.TransportError):
            async for event in events:
                if event.kind == "message" and (message := read_message(event.data)):
                    await received.send(SessionMessage(message))
    on_end()


async def _post(client: McpHttpClient, endpoint: str, message: types.JSONRPCMessage) -> None:
    """Raises CallFault."""
    request = client.build_request(
        "POST", endpoint, json=message.model_dump(by_alias=True, mode="json", exclude_unset=True)
    )
    watch(request)
    try:
        response = await httpx2.AsyncClient.send(client, request, stream=True)
        content = await body(response, _LONGEST_PROBLEM)
    except httpx2.TransportError as error:
        raise lost(ATTEMPT.get(), error) from error
    if not response.is_success:
        raise fault_of(response, content)
