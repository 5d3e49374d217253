"""Locks on files, which the system releases when a process dies."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_POLL_SECONDS = 0.01


class FileLock:
    """A shared lock on a file beside what the sandbox sees: tells other processes that this one has it open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    @property
    def held(self) -> bool:
        return self._file is not None

    def acquire(self) -> None:
        """Waits while another process is in `exclusive`. Blocking; raises OSError."""
        if self._file is None:
            file = os.open(self._path, _FLAGS, 0o600)
            fcntl.flock(file, fcntl.LOCK_SH)
            self._file = file

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[bool]:
        """Whether no other process holds the lock, nor can acquire it before the end of the block. Afterwards, in rare
        cases, a lock that was held is not held any more."""
        mine = self._file
        try:
            file = os.open(self._path, _FLAGS, 0o600) if mine is None else mine
        except FileNotFoundError:  # there is no folder, so no process can have it open
            yield True
            return
        try:
            yield try_lock(file, fcntl.LOCK_EX)
        finally:
            if mine is None:
                os.close(file)
            elif not try_lock(file, fcntl.LOCK_SH):
                self.release()


def try_lock(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock_within(file: int, seconds: float) -> bool:
    """Whether an exclusive lock could be acquired in time. Blocking: the system has no lock with a timeout."""
    until = time.monotonic() + seconds
    while not try_lock(file, fcntl.LOCK_EX):
        if time.monotonic() >= until:
            return False
        time.sleep(_POLL_SECONDS)
    return True
