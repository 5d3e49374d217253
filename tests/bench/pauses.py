"""Runs a module as `python -m` does, and writes the longest pause of the garbage collector, in seconds, to a file when
that ends. Called by its path: the module may be that of another revision.

    python pauses.py FILE MODULE ARGUMENT…"""

import gc
import runpy
import sys
import time
from collections.abc import Mapping
from pathlib import Path


class Pauses:
    """How long collections took."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._begun = 0.0

    def __call__(self, phase: str, about: Mapping[str, int]) -> None:
        """As `gc.callbacks` calls it."""
        now = time.perf_counter()
        if phase == "start":
            self._begun = now
        else:
            self.longest = max(self.longest, now - self._begun)


def main() -> None:
    _, file, *sys.argv = sys.argv
    sys.path[0] = ""
    pauses = Pauses()
    gc.callbacks.append(pauses)
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    finally:
        Path(file).write_text(str(pauses.longest))


if __name__ == "__main__":
    main()
