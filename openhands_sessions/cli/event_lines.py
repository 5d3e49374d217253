"""A conversation for programs: each event as a line of JSON on standard output, and nothing else there."""

import sys
from typing import TextIO

from openhands_sessions.cli.screen import Screen
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.events.event import Event
from openhands_sessions.ports.gateway import Delta


class EventLines:
    """As protocol 2 sends events. `screen` gets the errors that are not events."""

    def __init__(self, screen: Screen, out: TextIO | None = None) -> None:
        self._screen = screen
        self._out = out or sys.stdout

    def typed(self, text: str) -> None:
        pass

    def delta(self, delta: Delta) -> None:
        pass

    def show(self, entry: Stored, event: Event) -> None:
        self._out.write(f"{entry.text}\n")
        self._out.flush()

    def problem(self, text: str) -> None:
        if text:
            self._screen.problem(text)
