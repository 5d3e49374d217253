"""The audit log as a file of JSON lines, which is rotated by its size."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from pathlib import Path

import orjson
import structlog

from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import ConversationId, OwnerId

log = structlog.get_logger(__name__)

MOST_WAITING = 10_000
"""Records that wait for the disk; what comes beyond them is counted."""


class AuditFile:
    """An AuditLog. One task writes what has come, in a thread; processes that share the file take turns."""

    def __init__(self, path: Path, *, file_bytes: int, files: int) -> None:
        """`file_bytes`: the size from which a file is put aside as `NAME.1`; `files` of them are kept in all."""
        self._path = path
        self._file_bytes = file_bytes
        self._files = files
        self._waiting: list[bytes] = []
        self._lost = 0
        self._closed = False
        self._news = asyncio.Event()

    def record(self, at: datetime, caller: OwnerId, action: str, conversation: ConversationId, **details: Json) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._lost += 1
            return
        told: dict[str, Json] = {"user": caller, "action": action, "conversation": conversation}
        self._waiting.append(_line(at, told | {"details": details} if details else told))
        self._news.set()

    def close(self) -> None:
        """`write_all` ends with what there is."""
        self._closed = True
        self._news.set()

    async def write_all(self) -> None:
        """Write records as they come, until the end."""
        while not self._closed or self._waiting:
            await self._news.wait()
            self._news.clear()
            lines, self._waiting = self._waiting, []
            lost, self._lost = self._lost, 0
            if lost:
                lines.append(orjson.dumps({"event": "audit", "action": "lost", "records": lost}) + b"\n")
            try:
                await asyncio.to_thread(self._write, lines)
            except OSError as error:
                self._lost += lost + len(lines) - bool(lost)
                log.error("the audit log cannot be written", problem=error.strerror, records_lost=self._lost)

    def _write(self, lines: Sequence[bytes]) -> None:
        if not lines:
            return
        with _turn(self._path.parent):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "ab") as file:
                file.writelines(lines)
                size = file.tell()
            if size >= self._file_bytes:
                self._rotate()

    def _rotate(self) -> None:
        if self._files == 1:
            self._path.unlink()
            return
        for number in range(self._files - 2, 0, -1):
            if (older := self._aside(number)).exists():
                older.replace(self._aside(number + 1))
        self._path.replace(self._aside(1))

    def _aside(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


@asynccontextmanager
async def open_audit_file(path: Path, *, file_bytes: int, files: int) -> AsyncIterator[AuditFile]:
    """The file at `path`, whose folder is made where there is none; the end of the block waits until all is written.
    Raises OSError where it cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    audit = AuditFile(path, file_bytes=file_bytes, files=files)
    writing = asyncio.create_task(audit.write_all(), name="audit log")
    try:
        yield audit
    finally:
        audit.close()
        await writing


def _line(at: datetime, told: dict[str, Json]) -> bytes:
    text = orjson.dumps({"event": "audit", "at": at.isoformat(), **told}, default=str)
    return text + b"\n"


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """While no other process writes there."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
