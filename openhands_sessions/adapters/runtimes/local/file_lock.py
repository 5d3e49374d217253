"""Tells other processes that this one has a conversation's sandbox open."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class FileLock:
    """A lock file beside what the sandbox sees, which the system opens again when a process dies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    @property
    def taken(self) -> bool:
        return self._file is not None

    def take(self) -> None:
        """Waits while somebody else puts the sandbox to rest. Blocking; raises OSError."""
        if self._file is None:
            file = os.open(self._path, _FLAGS, 0o600)
            fcntl.flock(file, fcntl.LOCK_SH)
            self._file = file

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    @contextlib.contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether no other process has it open, nor can open it before the end of the block. Rarely, what was taken is
        not taken any more afterwards."""
        mine = self._file
        try:
            file = os.open(self._path, _FLAGS, 0o600) if mine is None else mine
        except FileNotFoundError:  # nor is there a folder to open it in
            yield True
            return
        try:
            yield _locked(file, fcntl.LOCK_EX)
        finally:
            if mine is None:
                os.close(file)
            elif not _locked(file, fcntl.LOCK_SH):
                self.release()


def _locked(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
