"""The lock of a data folder: one server at a time. Only `serve` takes it; the store and other commands do not."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from openhands_sessions.core.errors import SessionsError

NAME = "server.lock"


class AnotherServer(SessionsError):
    """A living process holds the lock; `holder` says which one."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"another server runs on this data folder: {holder}")
        self.holder = holder


@contextmanager
def server_lock(folder: Path) -> Iterator[None]:
    """Hold the folder's lock for the length of the block. It is the kernel's: it ends with the process, however that
    ends, and what the file says is for people only. Python opens files so that programs which this process starts do
    not inherit them, so none of them keeps the lock. Raises AnotherServer, OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AnotherServer(_written(descriptor)) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _written(descriptor: int) -> str:
    pid, _, since = os.pread(descriptor, 100, 0).decode(errors="replace").strip().partition(" ")
    return f"process {pid}, since {since}" if pid and since else "one that is just starting"
