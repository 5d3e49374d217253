"""The record of all actions: each is written before it starts, its outcome, masked, before it is returned."""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path
from typing import Any, Dict, Tuple

NAME = "journal"
DONE_KEPT = 1000
BYTES_KEPT = 8 << 20
FORGOTTEN_KEPT = 50000
COMPACT_BYTES = 24 << 20

Outcome = Dict[str, Any]
Extent = Tuple[int, int]

RUNNING = "running"
DONE = "done"
FORGOTTEN = "forgotten"

_NAME_LINE = re.compile(rb'\{"journal":"([A-Za-z0-9_-]{1,64})"\}')
_BEGINNING = re.compile(rb'\{"key":"([A-Za-z0-9_-]+)","state":"([a-z]+)"')  # without the outcome, which may be long


class Journal:
    """One line of JSON per change: `{"key", "state", "outcome"}`. Memory holds where an outcome is in the file, not the
    outcome. The last outcomes are kept, of older actions only that they ran. A line that a crash cut short is removed.

    One more line holds the journal's name, `{"journal"}`: one that replaces a lost journal has another name."""

    def __init__(self, folder: Path) -> None:
        self.name = ""
        self._path = folder / NAME
        self._extents: dict[str, Extent | None] = {}  # None: it was started, and no outcome is known or kept
        self._size = 0
        self._file = self._open()
        self._load()
        if not self.name:
            self.name = os.urandom(16).hex()
            with contextlib.suppress(OSError):  # on a full disk, the next executor gives it another name
                self._append({"journal": self.name}, durably=False)  # the next entry makes it durable

    def state(self, key: str) -> str | None:
        """DONE, FORGOTTEN (started, and no outcome is known or kept), None for an unknown action."""
        if key not in self._extents:
            return None
        return FORGOTTEN if self._extents[key] is None else DONE

    def outcome(self, key: str) -> Outcome:
        """The outcome of an action that is DONE."""
        line: dict[str, Outcome] = json.loads(self._line(key))
        return line["outcome"]

    def start(self, key: str) -> None:
        """Durable when it returns. Raises OSError, and then nothing is written."""
        self._append({"key": key, "state": RUNNING})
        self._extents[key] = None

    def finish(self, key: str, outcome: Outcome) -> None:
        """Durable when it returns. Raises OSError, and then nothing is written."""
        extent = self._append({"key": key, "state": DONE, "outcome": outcome})
        self._extents.pop(key, None)  # the newest last
        self._extents[key] = extent
        if self._size > COMPACT_BYTES:
            self._compact()

    def close(self) -> None:
        os.close(self._file)

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def _line(self, key: str) -> bytes:
        extent = self._extents[key]
        if extent is None:
            raise KeyError(key)
        return os.pread(self._file, extent[1], extent[0])

    def _append(self, entry: dict[str, Any], *, durably: bool = True) -> Extent:
        data = _line_of(entry)
        start = self._size
        try:
            written = 0
            while written < len(data):
                written += os.write(self._file, data[written:])
            if durably:
                os.fdatasync(self._file)
        except OSError:
            os.ftruncate(self._file, start)
            raise
        self._size = start + len(data)
        return start, len(data)

    def _load(self) -> None:
        self._size = 0
        with self._path.open("rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    self._note(line, self._size)
                    self._size += len(line)
        os.ftruncate(self._file, self._size)

    def _note(self, line: bytes, start: int) -> None:
        found = _BEGINNING.match(line)
        if found is None:
            named = _NAME_LINE.match(line)
            if named is not None:
                self.name = named.group(1).decode()
            return  # skipping a bad line loses one action at worst, stopping would lose them all
        key, state = found.group(1).decode(), found.group(2).decode()
        self._extents.pop(key, None)
        self._extents[key] = (start, len(line)) if state == DONE else None

    def _compact(self) -> None:
        kept = self._newest()
        known = set(kept)
        forgotten = [key for key in self._extents if key not in known][-FORGOTTEN_KEPT:]
        temporary = self._path.with_suffix(".new")
        with temporary.open("wb") as target:
            temporary.chmod(0o600)
            target.write(_line_of({"journal": self.name}))
            for key in forgotten:
                target.write(_line_of({"key": key, "state": FORGOTTEN}))
            for key in kept:
                target.write(self._line(key))
            target.flush()
            os.fsync(target.fileno())
        temporary.rename(self._path)
        os.close(self._file)
        self._file = self._open()
        self._extents.clear()
        self._load()

    def _newest(self) -> list[str]:
        kept: list[str] = []
        room = BYTES_KEPT
        for key, extent in reversed(list(self._extents.items())):
            if extent is not None:
                room -= extent[1]
                if len(kept) == DONE_KEPT or room < 0:
                    break
                kept.append(key)
        kept.reverse()
        return kept


def _line_of(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry, separators=(",", ":")).encode() + b"\n"
