"""What went wrong, for whoever looks into the state folder: up to a limit, so that no fault fills a disk."""

from __future__ import annotations

import io
from pathlib import Path

LIMIT = 256 << 10


class Log(io.TextIOBase):
    """Stands in for standard error. Begins anew when it is half full at the start."""

    def __init__(self, path: Path) -> None:
        old = path.stat().st_size if path.exists() else 0
        self._file = path.open("w" if old > LIMIT // 2 else "a", encoding="utf-8", errors="replace")
        self._room = LIMIT - (0 if old > LIMIT // 2 else old)

    def write(self, text: str) -> int:
        self._file.write(text[: max(0, self._room)])
        self._file.flush()
        self._room -= len(text)
        return len(text)

    def close(self) -> None:
        self._file.close()
        super().close()
