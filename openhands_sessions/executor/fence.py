"""Owners and their terms: once a newer one has come, an older one is refused for good."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Iterator

NAME = "term"


class Fence:
    """The highest term ever seen, on disk. Whoever starts us may raise it there before we can be reached, so the file
    is read again at every admission: they are rare."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self.highest = -1

    def admit(self, term: int) -> bool:
        """Whether the owner of this term may act. A higher term than all before is durable when it returns. Raises
        OSError."""
        with self._locked():
            self.highest = max(self.highest, self._stored())
            if term > self.highest:
                self._store(term)
                self.highest = term
        return term == self.highest

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _stored(self) -> int:
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int(self._path.read_text())
        return -1

    def _store(self, term: int) -> None:
        temporary = self._path.with_suffix(".new")
        with temporary.open("w") as file:
            file.write(str(term))
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(self._path)
