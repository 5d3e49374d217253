"""One command: as it is ordered, while it runs, and how it ended."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from typing import Callable, NamedTuple

EXIT, SHELL_EXIT, TIMEOUT, INTERRUPTED, KILLED = "exit", "shell_exit", "timeout", "interrupted", "killed"
WAITING, BUSY = "waiting", "busy"  # it runs on; it was not run


@dataclass(frozen=True)
class Order:
    """A command for the shell. `cwd` is a real path; `timeout` in seconds."""

    key: str
    command: str
    timeout: float | None = None
    cwd: str | None = None
    environment: dict[str, str] = field(default_factory=dict)


class Ending(NamedTuple):
    """How a command ended. `exit_code` is None where it was ended by force."""

    how: str
    exit_code: int | None
    pid: int


class Run:
    """A command between the mark at its begin and the one at its end."""

    def __init__(self, on_data: Callable[[bytes], None]) -> None:
        loop = asyncio.get_event_loop()
        self.token = os.urandom(8).hex()
        self.on_data = on_data
        self.begun: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[int | None] = loop.create_future()

    def marked(self, text: str) -> None:
        if text == "begin" and not self.begun.done():
            self.begun.set_result(None)
        elif text != "begin" and not self.ended.done():
            self.ended.set_result(int(text) if text.isdigit() else None)
