"""Says to a turn's clients that nothing happens, and what the turn waits for."""

from collections.abc import Callable
from typing import Protocol

from openhands_sessions.core.events.event import Action, Event
from openhands_sessions.ports.model import Retry
from openhands_sessions.session.event_stream import EventStream

NO_PROGRESS = "STATUS$NO_PROGRESS"


class Timer(Protocol):
    """One call that is to come."""

    def cancel(self) -> None: ...


class Timers(Protocol):
    """What an event loop has: a clock in seconds, and calls after a time."""

    def time(self) -> float: ...

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer: ...


class ProgressNotice:
    """One session's, with one timer while a turn runs. After `seconds` without an event or a delta it says so, once
    until something happens again; 0: never."""

    def __init__(
        self, stream: EventStream, seconds: float, tell: Callable[[str, str], None], timers: Callable[[], Timers]
    ) -> None:
        self._stream = stream
        self._seconds = seconds
        self._tell = tell
        self._timers = timers
        self._running: Timers | None = None
        self._timer: Timer | None = None
        self._moved_at = 0.0
        self._next_try = 0.0
        self._action = ""
        stream.listen(self._happened)
        stream.listen_to_deltas(self._progress)

    def begin(self) -> None:
        """A turn begins."""
        if self._seconds > 0:
            self._running = self._timers()
            self._progress()

    def end(self) -> None:
        """The turn is over."""
        if self._timer is not None:
            self._timer.cancel()
        self._running = self._timer = None
        self._next_try = 0.0

    def retrying(self, retry: Retry) -> None:
        """A try of a model call has failed."""
        if self._running is not None:
            self._next_try = self._running.time() + retry.wait

    def _happened(self, event: Event) -> None:
        if isinstance(event, Action):
            self._action = event.KIND
        self._progress()

    def _progress(self) -> None:
        """The timer runs on: it is looked at when it rings, and set anew only where it has told."""
        if self._running is not None:
            self._moved_at = self._running.time()
            if self._timer is None:
                self._timer = self._running.call_later(self._seconds, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._running is None:
            return
        quiet = self._running.time() - self._moved_at
        if quiet < self._seconds:
            self._timer = self._running.call_later(self._seconds - quiet, self._ring)
            return
        self._tell(NO_PROGRESS, f"Nothing has happened for {quiet:.0f} s: waiting for {self._awaited()}.")

    def _awaited(self) -> str:
        assert self._running is not None  # or there was no timer
        if open_actions := self._stream.view.open_actions:
            return f"the result of event {open_actions[0]} ({self._action})"
        left = self._next_try - self._running.time()
        return f"the next try of the model call, in {left:.0f} s" if left > 0 else "the model's reply"
