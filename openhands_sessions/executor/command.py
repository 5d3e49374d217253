"""Actions that wait for a command, and the command that they wait for, one after another."""

from __future__ import annotations

import asyncio
from typing import Any, Callable

from .frames import Refusal
from .journal import Outcome
from .order import Ending, Order
from .output import Capture, Listener
from .shell import Shell


class Action:
    """An action under way, or one that waits for its turn. `done` gives its outcome, or the refusal to begin it."""

    def __init__(self, capture: Capture) -> None:
        loop = asyncio.get_event_loop()
        self.capture = capture
        self.done: asyncio.Future[Outcome | Refusal] = loop.create_future()
        self.stop: asyncio.Future[str] = loop.create_future()
        self._listeners: set[Listener] = set()

    def listen(self, offset: int) -> Listener:
        """A place in the output, for one who has what comes before `offset`."""
        listener = Listener(self.capture, offset)
        self._listeners.add(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    def take_over(self, capture: Capture) -> None:
        """Go on with what was printed before this action began to attend."""
        self.capture = capture
        for listener in self._listeners:
            listener.go_over(capture)

    def add(self, data: bytes) -> None:
        self.capture.add(data)
        for listener in self._listeners:
            listener.add(data)

    def end(self, reason: str) -> None:
        if not self.stop.done():
            self.stop.set_result(reason)

    def finish(self, outcome: Outcome | Refusal) -> None:
        self.done.set_result(outcome)
        for listener in self._listeners:
            listener.end()


class Command:
    """A command in the shell. The action that began it may let go of it while it runs; what it prints then is kept for
    the next one that attends it."""

    def __init__(self, order: Order, shell: Shell, new_capture: Callable[[], Capture]) -> None:
        loop = asyncio.get_event_loop()
        self.keys = {order.key}
        self._new_capture = new_capture
        self._meanwhile = new_capture()
        self._action: Action | None = None
        self._heard = loop.time()
        self._stop: asyncio.Future[str] = loop.create_future()
        self._ending = loop.create_task(shell.run(order, self._on_data, self._stop))

    @property
    def running(self) -> bool:
        return not self._ending.done()

    @property
    def stopping(self) -> bool:
        """It was told to end."""
        return self._stop.done()

    def on_end(self, call: Callable[[], None]) -> None:
        self._ending.add_done_callback(lambda _: call())

    def end(self, reason: str) -> None:
        if not self._stop.done():
            self._stop.set_result(reason)

    async def ended(self) -> None:
        await asyncio.wait({self._ending})

    async def attended(self, key: str, action: Action, patience: float | None) -> Ending | None:
        """Wait for its end on behalf of an action, which gets what it prints; None where it printed nothing for
        `patience` seconds and runs on. Raises OSError where it could not be begun."""
        self.keys.add(key)
        action.take_over(self._meanwhile)
        self._meanwhile = self._new_capture()
        self._action = action
        self._heard = asyncio.get_event_loop().time()
        try:
            while self.running:
                if action.stop.done():
                    self.end(action.stop.result())
                    await self.ended()
                elif not await self._news(action, patience):
                    return None
        finally:
            self._action = None
        return self._ending.result()

    async def _news(self, action: Action, patience: float | None) -> bool:
        """Whether something happened before patience was at its end."""
        until = None if patience is None else self._heard + patience - asyncio.get_event_loop().time()
        if until is not None and until <= 0:
            return False
        happened: list[asyncio.Future[Any]] = [self._ending, action.stop]
        await asyncio.wait(happened, timeout=until, return_when=asyncio.FIRST_COMPLETED)
        return True

    def _on_data(self, data: bytes) -> None:
        self._heard = asyncio.get_event_loop().time()
        if self._action is None:
            self._meanwhile.add(data)
        else:
            self._action.add(data)
