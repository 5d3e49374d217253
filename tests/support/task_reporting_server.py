"""The real program, which says what tasks it has: to SIGUSR1 it answers with a line for each, written to the pipe that
TASKS_PIPE names."""

import asyncio
import os
import signal
from pathlib import Path
from types import FrameType

from openhands_sessions.cli.app import app


def tell(number: int, frame: FrameType | None) -> None:
    """Runs between two steps of the event loop's thread."""
    tasks = [f"{task.get_name()}: {task.get_coro().__qualname__}" for task in asyncio.all_tasks()]  # type: ignore[union-attr]  # they are all coroutines
    Path(os.environ["TASKS_PIPE"]).write_text("\n".join(tasks))


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, tell)
    app()
