"""Connections whose callers have not authenticated: how many there may be, and how long each is waited for."""

import asyncio
import resource
from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from aiohttp import web

from openhands_sessions.server.forwarding import TrustedProxies
from openhands_sessions.server.limited_log import LimitedLog

log = structlog.get_logger(__name__)

UNLIMITED = 1 << 20
"""Connections where the system has no limit."""
LATE = 0.05
"""Share of the time by which a deadline may be late."""
SHORT_OF_ROOM = 0.25
"""Share of the time that is given to each while there is no room for another connection."""


def _most_connections() -> int:
    """A part of the files that this process may open is left for the store and the sandboxes."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return UNLIMITED if files == resource.RLIM_INFINITY else max(1, files * 3 // 4)


@dataclass(frozen=True, kw_only=True, slots=True)
class PendingLimits:
    """`seconds` are those in which a client owes us bytes, over all its requests. `connections` bounds those of
    callers who have authenticated too."""

    seconds: float = 10.0
    per_address: int = 200
    in_all: int = 10_000
    connections: int = field(default_factory=_most_connections)


class Awaited(Protocol):
    """What a deadline is for."""

    def look(self) -> None:
        """The time is over: `end`, or prolong the deadline."""

    def end(self) -> None:
        """Wait no longer, and end the deadline."""


class Deadline:
    """The time that a client has left to authenticate. It passes while the client owes us bytes, from `run` to
    `pause`."""

    __slots__ = ("_awaited", "_pending", "left", "since")

    def __init__(self, pending: "PendingConnections", awaited: Awaited) -> None:
        self.left = pending.limits.seconds
        """In seconds, as of the last pause."""
        self.since: float | None = None
        """When it began to run, on the event loop's clock; None while it does not run."""
        self._pending = pending
        self._awaited: Awaited | None = awaited

    def run(self) -> None:
        if self._awaited is not None and self.since is None:
            self.since = self._pending.begin(self)

    def pause(self) -> None:
        if self.since is not None:
            self.left -= self._pending.end(self) - self.since
            self.since = None

    def look(self) -> None:
        """The time is over."""
        if self._awaited is not None:
            self._awaited.look()

    def prolong(self, seconds: float) -> None:
        self.pause()
        self.left = seconds
        self.run()

    def end(self) -> None:
        """There is nothing more to wait for."""
        self.pause()
        self._awaited = None

    def give_way(self) -> None:
        """What is waited for gives way to another."""
        if self._awaited is not None:
            self._awaited.end()


class PendingConnections:
    """Counts the connections of one server. Those of loopback and of trusted proxies count in all, and not for their
    address. While there is no room, the connection that has owed bytes for the longest time gives way to a new
    one, if it had a part of its time; else the new one is refused, with a line in the log."""

    def __init__(self, limits: PendingLimits, proxies: TrustedProxies) -> None:
        self.limits = limits
        self.open = 0
        """Connections, also of those who have authenticated."""
        self._proxies = proxies
        self._running: dict[Deadline, float] = {}
        """Who owes bytes, and since when; the one that has owed for longest first."""
        self._looking: asyncio.TimerHandle | None = None
        self._addresses: Counter[str] = Counter()
        self._in_all = 0
        self._most = max(1, min(limits.in_all, limits.connections // 2))
        self._lines = LimitedLog("an unauthenticated connection was refused")

    def begin(self, deadline: Deadline) -> float:
        """Have it run; the time, on the event loop's clock."""
        loop = asyncio.get_running_loop()
        now = self._running[deadline] = loop.time()
        if self._looking is None:
            self._looking = loop.call_later(LATE * self.limits.seconds, self._look)
        return now

    def end(self, deadline: Deadline) -> float:
        """Have it run no longer; the time."""
        del self._running[deadline]
        return asyncio.get_running_loop().time()

    def _look(self) -> None:
        """One timer serves all: most deadlines are over before a timer of their own would pay."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for deadline in [each for each, since in self._running.items() if since + each.left <= now]:
            try:
                deadline.look()
            except Exception:
                log.exception("a connection that is late was not looked at")
        self._looking = loop.call_later(LATE * self.limits.seconds, self._look) if self._running else None

    def enter(self, address: str) -> bool:
        """Count one more of this address, until `leave`; False where that is refused."""
        if not self.has_room(address):
            return False
        self._in_all += 1
        if place := self._proxies.counted_as(address):
            self._addresses[place] += 1
        return True

    def has_room(self, address: str) -> bool:
        """Whether one more of this address may come; makes room where it can, and logs where it cannot."""
        place = self._proxies.counted_as(address)
        if place and self._addresses[place] >= self.limits.per_address:
            return self._refused(address, "too many from its address")
        if self.open > self.limits.connections:
            return self._refused(address, "too many connections")
        if self._in_all >= self._most and not self._made_room():
            return self._refused(address, "too many in all")
        return True

    def leave(self, address: str) -> None:
        self._in_all -= 1
        if place := self._proxies.counted_as(address):
            self._addresses[place] -= 1
            if not self._addresses[place]:
                del self._addresses[place]

    def note_late(self, address: str) -> None:
        """A line in the log."""
        self._lines.warn(cause="it connected to no namespace in time", address=address)

    def _refused(self, address: str, cause: str) -> bool:
        self._lines.warn(cause=cause, address=address)
        return False

    def _made_room(self) -> bool:
        before = asyncio.get_running_loop().time() - SHORT_OF_ROOM * self.limits.seconds
        while self._in_all >= self._most:
            oldest, since = next(iter(self._running.items()), (None, before))
            if oldest is None or since > before:
                return False
            oldest.give_way()
        return True


PENDING = web.AppKey("pending", PendingConnections)
