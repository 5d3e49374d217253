"""Numbers the server's calls of the store and runtime ports: each is a place where a test can kill it."""

import os
import signal
from collections import Counter
from pathlib import Path

BEFORE = "before"
AMID = "amid"
STAGED = "staged"
AFTER = "after"
"""Sides of a boundary: before the call is made, at the first output of a command or the first piece of a file, when all
pieces are written but the file has not taken its place, and when the call has taken effect but nobody in the process
has heard of it."""


class Boundaries:
    """Counts the calls of each name from 0, and ends the process at the one that is named. `linger`: seconds that a
    runtime takes to close."""

    def __init__(self, kill: str | None, tally: Path | None, linger: float = 0.0) -> None:
        self.linger = linger
        self._kill = kill
        self._tally = tally
        self._counts: Counter[str] = Counter()

    def begin(self, name: str) -> "Boundary":
        """The next call of this name is about to be made."""
        number = self._counts[name]
        self._counts[name] += 1
        boundary = Boundary(self, f"{name}:{number}")
        boundary.reach(BEFORE)
        return boundary

    def reach(self, place: str) -> None:
        if self._tally is not None:
            with self._tally.open("a") as file:
                file.write(f"{place}\n")
        if place == self._kill:
            os.kill(os.getpid(), signal.SIGKILL)


class Boundary:
    """One call."""

    def __init__(self, boundaries: Boundaries, name: str) -> None:
        self._boundaries = boundaries
        self._name = name

    def reach(self, side: str) -> None:
        self._boundaries.reach(f"{self._name}:{side}")
