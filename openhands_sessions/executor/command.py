"""The running command of the shell, its output, and the actions that wait for it, one after another."""

from __future__ import annotations

import asyncio
import codecs
from typing import Any, Callable

from .capture import PENDING, OutputCapture, skip_broken
from .frames import RequestRefused, Send
from .journal import Outcome
from .processes import CommandRequest, ExitStatus, wait_any
from .shell import Shell

_PAUSE = 0.02


class OutputListener:
    """One client's position in the output of a running command. It begins at `offset`, or later where less is kept.
    What the client does not fetch in time is dropped, oldest first, and the offsets (in bytes of the whole output) show
    the gap: a slow client costs PENDING bytes."""

    def __init__(self, capture: OutputCapture, offset: int = 0) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._wait_for_event = asyncio.Event()
        self._ended: asyncio.Future[None] = asyncio.get_event_loop().create_future()
        self.restart(capture, offset)

    @property
    def ended(self) -> bool:
        return self._ended.done()

    def add(self, data: bytes) -> None:
        self._pending += data
        self._end += len(data)
        excess = len(self._pending) - PENDING
        if excess > 0:
            del self._pending[:excess]
            self._start = self._end - PENDING
            self._torn = True
            self._decoder.reset()
        self._wait_for_event.set()

    def restart(self, capture: OutputCapture, offset: int = 0) -> None:
        """Begin with another output, before any of this one was added."""
        self._pending = bytearray(capture.since(offset))
        self._end = capture.total
        self._start = self._end - len(self._pending)
        self._torn = self._start != offset
        if self._pending:
            self._wait_for_event.set()

    def end(self) -> None:
        """Nothing is added any more."""
        if not self._ended.done():
            self._ended.set_result(None)
        self._wait_for_event.set()

    def take(self) -> dict[str, Any] | None:
        """The next chunk, None where there is none."""
        self._wait_for_event.clear()
        data = bytes(self._pending)
        self._pending.clear()
        text = self._decoder.decode(skip_broken(data) if self._torn else data)
        if not text:
            return None
        self._torn = False
        start, self._start = self._start, self._end - len(self._decoder.getstate()[0])
        return {"from": start, "to": self._start, "text": text}

    async def wait(self, pause: float) -> None:
        """Wait for a chunk or the end; chunks that come within `pause` seconds are joined."""
        await asyncio.wait({self._ended}, timeout=pause)
        if not self._ended.done():
            await self._wait_for_event.wait()


class ActiveAction:
    """A running action, or one that waits for its turn. The result of `done` is its outcome, or the refusal to start
    it."""

    def __init__(self, capture: OutputCapture) -> None:
        loop = asyncio.get_event_loop()
        self.capture = capture
        self.done: asyncio.Future[Outcome | RequestRefused] = loop.create_future()
        self.stop: asyncio.Future[str] = loop.create_future()
        self._listeners: set[OutputListener] = set()

    async def follow(self, offset: int, send: Send) -> Outcome:
        """Send `piece`s of the output from `offset` on, and return the outcome. Raises RequestRefused."""
        listener = OutputListener(self.capture, offset)
        self._listeners.add(listener)
        try:
            while not listener.ended:
                await listener.wait(_PAUSE)
                piece = listener.take()
                if piece is not None:
                    await send({"piece": piece})
        finally:
            self._listeners.discard(listener)
        result = self.done.result()
        if isinstance(result, RequestRefused):
            raise result
        return result

    def continue_with(self, capture: OutputCapture) -> None:
        """Begin with what the command printed before this action waited for it."""
        self.capture = capture
        for listener in self._listeners:
            listener.restart(capture)

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
        self._unattended = new_capture()
        self._action: ActiveAction | None = None
        self._last_output = loop.time()
        self._stop: asyncio.Future[str] = loop.create_future()
        self.ending = loop.create_task(shell.run(request, self._on_data, self._stop))

    @property
    def running(self) -> bool:
        return not self.ending.done()

    @property
    def stopping(self) -> bool:
        """Its end was requested."""
        return self._stop.done()

    def end(self, reason: str) -> None:
        if not self._stop.done():
            self._stop.set_result(reason)

    async def ended(self) -> None:
        await asyncio.wait({self.ending})

    async def wait_for(self, key: str, action: ActiveAction, patience: float | None) -> ExitStatus | None:
        """Wait for its end on behalf of an action, which gets its output; None where it printed nothing for `patience`
        seconds and runs on. Raises OSError where it could not be started."""
        self.keys.add(key)
        action.continue_with(self._unattended)
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
            self._unattended = action.capture.next()
        return self.ending.result()

    async def _wait_for_event(self, action: ActiveAction, patience: float | None) -> bool:
        """Whether it ended, or its end was requested, before `patience` was over."""
        until = None if patience is None else self._last_output + patience - asyncio.get_event_loop().time()
        if until is not None and until <= 0:
            return False
        await wait_any(until, self.ending, action.stop)
        return True

    def _on_data(self, data: bytes) -> None:
        self._last_output = asyncio.get_event_loop().time()
        if self._action is None:
            self._unattended.add(data)
        else:
            self._action.add(data)
