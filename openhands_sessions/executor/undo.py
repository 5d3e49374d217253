"""What files held before they were edited."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

ENTRIES_KEPT = 200
BYTES_KEPT = 64 << 20
_ABSENT = "absent"


class PreviousContent(NamedTuple):
    """A file before an edit; the content is None where there was no file."""

    content: bytes | None


class UndoHistory:
    """One file per edit, named by its number and a digest of the path; the oldest go when there are too many."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)
        entries = self._entries()
        self._next = int(entries[-1].name.split("-")[0]) + 1 if entries else 0

    def push(self, path: str, content: bytes | None) -> None:
        name = "{:08d}-{}-{}".format(self._next, _digest(path), _ABSENT if content is None else "content")
        self._next += 1
        (self._folder / name).write_bytes(content or b"")
        self._drop_oldest()

    def last(self, path: str) -> PreviousContent | None:
        """The file before its last edit; None where no edit is known."""
        entry = self._newest(path)
        if entry is None:
            return None
        return PreviousContent(None if entry.name.endswith(_ABSENT) else entry.read_bytes())

    def drop(self, path: str) -> None:
        """Forget the last edit."""
        entry = self._newest(path)
        if entry is not None:
            entry.unlink()

    def _newest(self, path: str) -> Path | None:
        digest = _digest(path)
        return next((entry for entry in reversed(self._entries()) if entry.name.split("-")[1] == digest), None)

    def _entries(self) -> list[Path]:
        return sorted(self._folder.iterdir())

    def _drop_oldest(self) -> None:
        entries = self._entries()
        total = sum(entry.stat().st_size for entry in entries)
        for position, entry in enumerate(entries[:-1]):
            if total <= BYTES_KEPT and len(entries) - position <= ENTRIES_KEPT:
                return
            total -= entry.stat().st_size
            entry.unlink()


def _digest(path: str) -> str:
    return hashlib.sha256(path.encode("utf-8", "replace")).hexdigest()[:32]
