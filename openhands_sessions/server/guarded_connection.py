"""A connection that is ended if its caller does not authenticate in time."""

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiohttp import web

from openhands_sessions.server.pending_connections import PENDING, Deadline, PendingConnections

LOOK_AGAIN = 0.25
"""Share of the time after which one that takes in an answer is looked at again, …"""
LEAST_READ = 8 * 1024
"""… and bytes of the answer that it must have taken in meanwhile."""
BYTES_ACKED = 120
"""Where the kernel's tcp_info has `tcpi_bytes_acked`, see linux/tcp.h."""


class GuardedConnection(asyncio.Protocol):
    """Stands between a transport and aiohttp's protocol, and ends a connection that does not
    authenticate in time. Data goes straight to aiohttp."""

    def __init__(self, pending: PendingConnections, inner: asyncio.Protocol) -> None:
        self._pending = pending
        self._inner = inner
        self._deadline = Deadline(pending, self)
        self._transport: asyncio.Transport | None = None
        self._address: str | None = None
        """Under which it is counted; None where it is not."""
        self._acknowledged = 0
        # Looked up in the object, not in its class: nothing is called in between.
        for name in ("data_received", "eof_received", "pause_writing", "resume_writing"):
            setattr(self, name, getattr(inner, name))

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # a stream has no other
        self._transport = transport
        self._pending.open += 1
        peer = transport.get_extra_info("peername")
        if not self._counted(str(peer[0]) if peer else ""):
            transport.abort()
            return
        self._inner.connection_made(transport)
        self._deadline.run()

    def connection_lost(self, exc: Exception | None) -> None:
        self._pending.open -= 1
        self.let_in()
        self._transport = None
        self._inner.connection_lost(exc)

    @property
    def used_up(self) -> bool:
        """Whether more than half of its time is gone."""
        return self._address is not None and self._deadline.left < self._pending.limits.seconds / 2

    def client_must_send(self) -> None:
        """From now on the server waits for the client."""
        self._deadline.run()

    def client_has_sent(self) -> None:
        """From now on the client waits for the server."""
        self._deadline.pause()

    def comes_from(self, address: str) -> bool:
        """Count it for the address that a proxy forwards. False where that has too many."""
        if self._address in (None, address):
            return True
        self._leave()
        return self._counted(address)

    def let_in(self) -> None:
        """Its caller has authenticated."""
        self._deadline.end()
        self._leave()

    def end(self) -> None:
        """Its caller has not."""
        self.let_in()
        if self._transport is not None:
            self._transport.abort()

    def look(self) -> None:
        """A client that takes in an answer, such as a file of the web client, owes nothing yet."""
        before, self._acknowledged = self._acknowledged, acknowledged(self._transport)
        if self._acknowledged - before >= LEAST_READ:
            self._deadline.prolong(LOOK_AGAIN * self._pending.limits.seconds)
        else:
            self.end()

    def _counted(self, address: str) -> bool:
        entered = self._pending.enter(address)
        self._address = address if entered else None
        return entered

    def _leave(self) -> None:
        if self._address is not None:
            self._pending.leave(self._address)
            self._address = None


def acknowledged(transport: asyncio.Transport | None) -> int:
    """Bytes that the other side has taken in; 0 where that is not known."""
    connection = None if transport is None else transport.get_extra_info("socket")
    try:
        told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, BYTES_ACKED + 8) if connection else b""
    except OSError:
        return 0
    return int(struct.unpack_from("=Q", told, BYTES_ACKED)[0]) if len(told) == BYTES_ACKED + 8 else 0


CONNECTION = web.RequestKey("connection", GuardedConnection)


def guarded(runner: web.AppRunner, app: web.Application) -> Callable[[], asyncio.Protocol]:
    """What makes the protocols of an application's connections: guarded ones where it counts them. Its runner is set
    up."""
    pending, server = app.get(PENDING), runner.server
    assert server is not None
    if pending is None:
        return server
    return lambda: GuardedConnection(pending, server())


def connection_of(request: web.BaseRequest) -> GuardedConnection | None:
    """The connection of a request that comes; None where it is not guarded."""
    protocol = None if request.transport is None else request.transport.get_protocol()
    return protocol if isinstance(protocol, GuardedConnection) else None


@contextmanager
def awaiting(request: web.BaseRequest) -> Iterator[None]:
    """While its body is awaited."""
    connection = request.get(CONNECTION)
    if connection is not None:
        connection.client_must_send()
    try:
        yield
    finally:
        if connection is not None:
            connection.client_has_sent()
