"""How a library is loaded beforehand in a thread: between two modules, the event loop goes first."""

import asyncio
import threading
import time

_LONGEST_WAIT = 0.05
"""Seconds: the event loop may itself wait for a module that the thread has begun."""
_QUIET = 0.002
"""Seconds in which a loop with nothing to do answers."""
_REST = 10
"""How many times as long as a busy loop took to answer the thread then leaves it alone."""


class Preloading:
    """The thread calls `give_way`, the others are for the event loop's side."""

    def __init__(self) -> None:
        self._hurried = threading.Event()
        self._given_up = False

    def hurry(self) -> None:
        """What is loaded is needed now."""
        self._hurried.set()

    def give_up(self) -> None:
        """End the loading before the next module."""
        self._given_up = True
        self._hurried.set()

    def give_way(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the event loop do what it has to do. Raises ImportError where the loading was given up."""
        if not self._hurried.is_set():
            begun = time.monotonic()
            answered = threading.Event()
            loop.call_soon_threadsafe(answered.set)
            answered.wait(_LONGEST_WAIT)
            took = time.monotonic() - begun
            if took > _QUIET:
                self._hurried.wait(min(_REST * took, _LONGEST_WAIT))
        if self._given_up:
            raise ImportError("given up: the program ends")
