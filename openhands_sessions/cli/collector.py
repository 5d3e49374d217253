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
MOST = 40_000
"""Objects of the oldest generation that are looked at in some 10 ms."""
SWITCH_INTERVAL = 0.0005
"""Seconds after which a busy thread yields: the event loop and the store's threads wait for each other."""


class FullCollections:
    """Has the oldest generation looked at while it is small: libraries leave cycles there, a little with each request
    to a model. Called by `gc.callbacks`."""

    def __init__(self) -> None:
        self._left = EVERY

    def __call__(self, phase: str, about: Mapping[str, int]) -> None:
        if phase != "stop" or about["generation"] == 0:
            return
        self._left -= 1
        if self._left > 0:
            return
        if self._left == 0 and len(gc.get_objects(generation=2)) <= MOST:
            gc.set_threshold(*NEXT)
        else:
            self._left = EVERY
            gc.set_threshold(*SELDOM)


def shorten_pauses() -> None:
    """Exclude the loaded modules from garbage collection, and collect the rest in short pauses."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.freeze()
    gc.set_threshold(*SELDOM)
    gc.callbacks.append(FullCollections())
