"""Private parts of python-socketio and engine.io that the server uses: each is named here, and must be as it was."""

import hashlib
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
import socketio
from engineio import async_server, async_socket
from engineio.async_drivers import aiohttp as driver

from openhands_sessions.adapters.auths.open import OpenAuth
from openhands_sessions.server.forwarding import TrustedProxies
from openhands_sessions.server.identification import Identification
from openhands_sessions.server.inbound import InboundBudget, MessageLimits
from openhands_sessions.server.pending_connections import PendingConnections, PendingLimits
from openhands_sessions.server.sockets.strict_server import StrictServer

LOOK = "Read what changed in the library, change our side where it must follow, then write the new digest here."
SOURCES: list[tuple[Callable[..., Any], str]] = [
    # what `ClientWebSocket` stands in for, and what it calls
    (async_socket.AsyncSocket._websocket_handler, "3548a4051e6f"),
    (async_socket.AsyncSocket.receive, "16b0b2f67927"),
    (async_socket.AsyncSocket.send, "e7de91d345df"),
    (async_socket.AsyncSocket.schedule_ping, "ce99733916e9"),
    (async_socket.AsyncSocket.close, "9145d6fd2870"),
    (async_socket.AsyncSocket.poll, "01a7f5df1937"),
    (driver.WebSocket.__call__, "ab81905a4baf"),
    # where engine.io makes sockets and asks for them
    (async_server.AsyncServer._handle_connect, "57f46d815462"),
    # what `PingingServer` has a timer for
    (async_socket.AsyncSocket._send_ping, "af7d301862db"),
    # what `StrictServer` overrides or calls
    (socketio.AsyncServer._handle_eio_connect, "4c462bbca904"),
    (socketio.AsyncServer._handle_eio_disconnect, "97ab2ca891e5"),
    (socketio.AsyncServer._handle_eio_message, "38a7a6c5de2d"),
    (socketio.AsyncServer._handle_eio_disconnect, "97ab2ca891e5"),
    (socketio.AsyncServer._engineio_server_class, "dec53e5e8749"),
    (socketio.AsyncServer._handle_event, "f6cd1d719328"),
    (socketio.AsyncServer._handle_connect, "335c42d04e8d"),
    (socketio.AsyncServer._send_packet, "d8c028ab8372"),
]


def digest(function: Callable[..., Any]) -> str:
    source = textwrap.dedent(inspect.getsource(function))
    return hashlib.sha256(source.encode()).hexdigest()[:12]


@pytest.mark.parametrize(("function", "known"), SOURCES, ids=[function.__qualname__ for function, _ in SOURCES])
def test_a_private_function_is_the_one_that_we_know(function: Callable[..., Any], known: str) -> None:
    assert digest(function) == known, LOOK


async def test_the_attributes_that_we_read_exist() -> None:
    limits = MessageLimits(1_000, InboundBudget(10_000))
    pending = PendingConnections(PendingLimits(), TrustedProxies())
    server = StrictServer(limits, Identification(OpenAuth()), pending, 1.0, async_mode="aiohttp")
    assert {"websocket", "translate_request", "make_response"} <= server.eio._async.keys()
    assert server.eio.sockets == {}
    assert server.environ == {}
    assert server.eio.reason.TRANSPORT_CLOSE
    assert callable(server.manager.eio_sid_from_sid)
    assert callable(server.manager.sid_from_eio_sid)
    assert callable(server.manager.is_connected)
    socket = async_socket.AsyncSocket(server.eio, "a")
    assert socket.server is server.eio
    assert socket.sid == "a"
    assert (server.eio.ping_interval, server.eio.ping_timeout) == (25, 20)
    assert socket.queue.empty()
    assert (socket.connected, socket.upgrading, socket.upgraded) == (False, False, False)
