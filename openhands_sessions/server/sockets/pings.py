"""Engine.io's server with one timer for the next ping of each connection, which ends with the connection."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import engineio
from engineio.async_socket import AsyncSocket
from engineio.packet import PING, Packet


class PingingServer(engineio.AsyncServer):  # type: ignore[misc]  # engineio has no types
    """Engine.io has a task for each ping, which sleeps for as long as a connection is quiet and outlives it: a server
    whose clients come and go would hold every connection of the last half minute."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._pings: dict[str, asyncio.TimerHandle] = {}

    def start_background_task(self, target: Callable[..., Any], *args: Any, **options: Any) -> Any:
        # The one public step between engine.io's decision to ping and its task.
        engine = getattr(target, "__self__", None)
        if isinstance(engine, AsyncSocket) and target == engine._send_ping:
            return self._schedule(engine)
        return super().start_background_task(target, *args, **options)

    def forget(self, engine_sid: str) -> None:
        """The connection is over: no ping follows."""
        if (timer := self._pings.pop(engine_sid, None)) is not None:
            timer.cancel()

    def _schedule(self, engine: Any) -> None:
        self.forget(engine.sid)
        if not engine.closing and not engine.closed:
            timer = asyncio.get_running_loop().call_later(self.ping_interval, self._ping, engine)
            self._pings[engine.sid] = timer

    def _ping(self, engine: Any) -> None:
        self._pings.pop(engine.sid, None)
        if not engine.closing and not engine.closed:
            engine.last_ping = time.time()
            engine.queue.put_nowait(Packet(PING))
