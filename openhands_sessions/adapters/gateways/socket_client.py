"""A connection to another server's Socket.IO, as all connections of a gateway are made and ended."""

import asyncio

import aiohttp
import socketio
from socketio.exceptions import SocketIOError

from openhands_sessions.adapters.gateways.rest import ServerAddress
from openhands_sessions.core.errors import Unreachable
from openhands_sessions.protocol.socket_messages import AuthIn, SocketJson

LARGEST = 64 * 1024 * 1024
"""Bytes of the largest message that is read: an event may hold all that a client has sent at once."""
CLOSE_SECONDS = 2.0
BROKEN = (SocketIOError, aiohttp.ClientError, OSError, TypeError, ValueError)
"""What connecting raises, the last two where the far side closes or says something else in the middle of it."""


def socket_client(session: aiohttp.ClientSession) -> socketio.AsyncClient:
    """Not connected yet. It does not reconnect by itself."""
    return socketio.AsyncClient(
        json=SocketJson,
        reconnection=False,
        handle_sigint=False,
        http_session=session,
        request_timeout=CLOSE_SECONDS,
        websocket_extra_options={"max_msg_size": LARGEST},
        logger=False,
        engineio_logger=False,
    )


async def begin(client: socketio.AsyncClient, address: ServerAddress, auth: AuthIn, namespace: str = "/") -> None:
    """Open the transport and ask for the namespace; the server's answer is an event. Raises what is in BROKEN."""
    await client.connect(
        address.origin,
        auth=auth.wire(),
        transports=["websocket"],
        namespaces=[namespace],
        socketio_path=f"{address.path}/socket.io".lstrip("/"),
        wait=False,  # it would not notice that the connection breaks while it waits
    )


def no_websocket(address: ServerAddress) -> Unreachable:
    return Unreachable(
        f"the server at {address.url} cannot be reached by websocket; a proxy in front of it must pass on"
        " the headers Upgrade and Connection"
    )


async def end(client: socketio.AsyncClient) -> None:
    """End the connection; bounded by CLOSE_SECONDS each for its parts."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await client.disconnect()
    except TimeoutError:
        pass
    tasks = [task for task in (client.eio.read_loop_task, client.eio.write_loop_task) if task is not None]
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    if (socket := client.eio.ws) is not None and not socket.closed:
        await socket.close()
