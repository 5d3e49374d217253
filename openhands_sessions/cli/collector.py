"""When Python collects garbage in cycles: in short pauses."""

import gc
import sys
from collections.abc import Mapping

SELDOM = (1_000, 3, 8_000)
"""As `gc.set_threshold` takes them. A pause grows with the objects in a generation; the oldest generation is looked at
seldom, as that takes 100 ms for a thousand connections."""
NEXT = (1_000, 3, 1)
EVERY = 40
"""Collections of the middle generation after which the oldest may have its turn."""
SELDOMEST = 64 * EVERY
MOST = 40_000
"""Objects of the oldest generation that are looked at in some 10 ms."""
SWITCH_INTERVAL = 0.0005
"""Seconds after which a busy thread yields: the event loop and the store's threads wait for each other."""


class FullCollections:
    """Has the oldest generation looked at while it is small: libraries leave cycles there, a little with each request
    to a model. Called by `gc.callbacks`."""

    def __init__(self, most: int = MOST) -> None:
        """`most` objects are looked at, at most."""
        self.most = most
        self._wait = self._left = EVERY

    def __call__(self, phase: str, about: Mapping[str, int]) -> None:
        if phase != "stop" or about["generation"] == 0:
            return
        self._left -= 1
        if self._left > 0:
            return
        if self._left == 0 and len(gc.get_objects(generation=2)) <= self.most:
            self._wait = EVERY
            gc.set_threshold(*NEXT)
        else:
            # To count them takes a millisecond for 100,000: while there are many, they are counted less and less.
            self._wait = EVERY if self._left < 0 else min(2 * self._wait, SELDOMEST)
            self._left = self._wait
            gc.set_threshold(*SELDOM)


def shorten_pauses() -> None:
    """Exclude the loaded modules from garbage collection, and collect the rest in short pauses."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.freeze()
    gc.set_threshold(*SELDOM)
    gc.callbacks.append(FullCollections())
