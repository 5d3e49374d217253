"""The stages on the way to a sandbox, as those hear of them who follow the conversation."""

import time
from collections.abc import Callable

from openhands_sessions.ports.runtime import OnStep

STARTING, STARTED, READY = "STATUS$STARTING_RUNTIME", "STATUS$RUNTIME_STARTED", "STATUS$READY"


def with_elapsed_time(on_step: OnStep, now: Callable[[], float] = time.monotonic) -> OnStep:
    """Tells each stage with the seconds since this was called."""
    began = now()

    def tell(status: str, words: str) -> None:
        on_step(status, f"{words} ({now() - began:.2f} s)")

    return tell
