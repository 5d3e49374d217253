"""The running command of the shell, its output, and the actions that wait for it, one after another."""

from __future__ import annotations

import asyncio
import codecs
from typing import Any, Callable

from .capture import PENDING, OutputCapture, skip_broken
from .frames import RequestRefused, Send
from .journal import Outcome
from .processes import PROMPT, WAITING, CommandRequest, ExitStatus, wait_any
from .shell import Shell

_PAUSE = 0.02
_UNSURE = 10.0
_LOOK, _LONGEST_LOOK = 0.1, 0.3
_LOOK_SHARE = 20
"""Seconds of silence after which a command that may wait for input is left; seconds between two looks at what its
processes wait for; and how many times longer that is than a look takes."""


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
        self._shell = shell
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

    async def type(self, text: str) -> None:
        """Type something for it."""
        await self._shell.send_input(self._unattended.keys(text))

    async def wait_for(self, key: str, action: ActiveAction, patience: float | None) -> ExitStatus:
        """Wait for its end on behalf of an action, which gets its output; with a `patience` (in seconds), also until it
        waits for input, or prints nothing for so long, and runs on. Raises OSError where it could not be started."""
        self.keys.add(key)
        action.continue_with(self._unattended)
        self._action = action
        self._last_output = asyncio.get_event_loop().time()
        try:
            while self.running:
                if action.stop.done():
                    self.end(action.stop.result())
                    await self.ended()
                elif patience is None:
                    await wait_any(None, self.ending, action.stop)
                else:
                    reason = await self._until_left(action, patience)
                    if reason:
                        return ExitStatus(reason, None, self._shell.pid)
        finally:
            self._action = None
            self._unattended = action.capture.next()
        return self.ending.result()

    async def _until_left(self, action: ActiveAction, patience: float) -> str:
        """Why it is to be left running; empty where it ended, or its end was requested."""
        clock = asyncio.get_event_loop().time
        seen: tuple[tuple[int, int], ...] = ()
        limit, cost = patience, 0.0
        while True:
            last_output = self._last_output
            silence = clock() - last_output
            if silence >= limit:
                return WAITING
            pause = max(_LOOK_SHARE * cost, min(_LONGEST_LOOK, max(_LOOK, silence / 10)))
            await wait_any(min(pause, limit - silence), self.ending, action.stop)
            if not self.running or action.stop.done():
                return ""
            if self._last_output != last_output:
                seen, limit = (), patience
                continue
            begun = clock()
            processes, sure = self._shell.input_wait()
            cost = clock() - begun
            if processes and processes == seen:  # without processor time between two looks: none computes
                return PROMPT
            seen, limit = processes, patience if sure else min(patience, _UNSURE)

    def _on_data(self, data: bytes) -> None:
        self._last_output = asyncio.get_event_loop().time()
        if self._action is None:
            self._unattended.add(data)
        else:
            self._action.add(data)
