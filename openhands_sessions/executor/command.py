"""The running command of the shell, and the actions that wait for it, one after another."""

from __future__ import annotations

import asyncio
from typing import Any, Callable

from .frames import RequestRefused
from .journal import Outcome
from .output import OutputCapture, OutputListener
from .processes import CommandRequest, ExitStatus
from .shell import Shell


class ActiveAction:
    """A running action, or one that waits for its turn. The result of `done` is its outcome, or the refusal to start
    it."""

    def __init__(self, capture: OutputCapture) -> None:
        loop = asyncio.get_event_loop()
        self.capture = capture
        self.done: asyncio.Future[Outcome | RequestRefused] = loop.create_future()
        self.stop: asyncio.Future[str] = loop.create_future()
        self._listeners: set[OutputListener] = set()

    def listen(self, offset: int) -> OutputListener:
        """A reader of the output from `offset` on."""
        listener = OutputListener(self.capture, offset)
        self._listeners.add(listener)
        return listener

    def leave(self, listener: OutputListener) -> None:
        self._listeners.discard(listener)

    def continue_with(self, capture: OutputCapture) -> None:
        """Begin with what the command printed before this action waited for it."""
        self.capture = capture
        for listener in self._listeners:
            listener.restart_with(capture)

    def add(self, data: bytes) -> None:
        self.capture.add(data)
        for listener in self._listeners:
            listener.add(data)

    def end(self, reason: str) -> None:
        if not self.stop.done():
            self.stop.set_result(reason)

    def finish(self, outcome: Outcome | RequestRefused) -> None:
        self.done.set_result(outcome)
        for listener in self._listeners:
            listener.end()


class ShellCommand:
    """A command in the shell. The action that started it may return before it ends; what it prints after that is kept
    for the next action that waits for it."""

    def __init__(self, request: CommandRequest, shell: Shell, new_capture: Callable[[], OutputCapture]) -> None:
        loop = asyncio.get_event_loop()
        self.keys = {request.key}
        self._new_capture = new_capture
        self._unattended = new_capture()
        self._action: ActiveAction | None = None
        self._last_output = loop.time()
        self._stop: asyncio.Future[str] = loop.create_future()
        self._ending = loop.create_task(shell.run(request, self._on_data, self._stop))

    @property
    def running(self) -> bool:
        return not self._ending.done()

    @property
    def stopping(self) -> bool:
        """Its end was requested."""
        return self._stop.done()

    def on_end(self, call: Callable[[], None]) -> None:
        self._ending.add_done_callback(lambda _: call())

    def end(self, reason: str) -> None:
        if not self._stop.done():
            self._stop.set_result(reason)

    async def ended(self) -> None:
        await asyncio.wait({self._ending})

    async def wait_for(self, key: str, action: ActiveAction, patience: float | None) -> ExitStatus | None:
        """Wait for its end on behalf of an action, which gets its output; None where it printed nothing for `patience`
        seconds and runs on. Raises OSError where it could not be started."""
        self.keys.add(key)
        action.continue_with(self._unattended)
        self._unattended = self._new_capture()
        self._action = action
        self._last_output = asyncio.get_event_loop().time()
        try:
            while self.running:
                if action.stop.done():
                    self.end(action.stop.result())
                    await self.ended()
                elif not await self._wait_for_event(action, patience):
                    return None
        finally:
            self._action = None
        return self._ending.result()

    async def _wait_for_event(self, action: ActiveAction, patience: float | None) -> bool:
        """Whether it ended, or its end was requested, before `patience` was over."""
        until = None if patience is None else self._last_output + patience - asyncio.get_event_loop().time()
        if until is not None and until <= 0:
            return False
        happened: list[asyncio.Future[Any]] = [self._ending, action.stop]
        await asyncio.wait(happened, timeout=until, return_when=asyncio.FIRST_COMPLETED)
        return True

    def _on_data(self, data: bytes) -> None:
        self._last_output = asyncio.get_event_loop().time()
        if self._action is None:
            self._unattended.add(data)
        else:
            self._action.add(data)
