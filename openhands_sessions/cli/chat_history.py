"""What was typed into chats, in a file that lasts: one JSON text a line, for its user alone."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import orjson
from prompt_toolkit.history import History

KEPT_BYTES = 1 << 20
"""From the end of the file; what is older goes once it has twice as much."""


class ChatHistory(History):
    """The history of all chats with one place. A file that cannot be read or written is done without."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def load_history_strings(self) -> Iterable[str]:
        """The newest first."""
        with suppress(OSError):
            self._drop_oldest()
            lines = self._path.read_bytes().splitlines()
            return [text for line in reversed(lines) if (text := _text(line)) is not None]
        return []

    def store_string(self, string: str) -> None:
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Each in one write at the end: other chats write into the same file.
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.fchmod(file, 0o600)
                os.write(file, orjson.dumps(string.encode("utf-8", "replace").decode()) + b"\n")
            finally:
                os.close(file)

    def _drop_oldest(self) -> None:
        if self._path.stat().st_size <= 2 * KEPT_BYTES:
            return
        kept = self._path.read_bytes()[-KEPT_BYTES:].partition(b"\n")[2]
        part = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "wb") as out:
            out.write(kept)
        part.replace(self._path)


def _text(line: bytes) -> str | None:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:  # a line that was being written when the machine went down
        return None
    return found if isinstance(found, str) else None
