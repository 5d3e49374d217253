"""Watches the files of a database by inotify, which tells of the writes of all processes of this machine."""

import asyncio
import ctypes
import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

_MODIFIED, _TOUCHED, _CREATED, _MOVED_IN = 0x2, 0x4, 0x100, 0x80
_BUFFER = 64 * 1024


class FileChanges:
    """A ForeignWrites of one database file. All who watch share one descriptor, open while there are any."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._watching: set[asyncio.Event] = set()
        self._descriptor: int | None = None

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[AsyncIterator[None]]:
        changed = asyncio.Event()
        self._watching.add(changed)
        try:
            if self._descriptor is None:
                self._open()
            yield _moments(changed)
        finally:
            self._watching.discard(changed)
            if not self._watching:
                self._close()

    def _open(self) -> None:
        try:
            descriptor = _inotify(self._database.parent)
        except OSError as error:
            log.warning("changes of other processes are not noticed", problem=error.strerror or str(error))
            return
        self._descriptor = descriptor
        asyncio.get_running_loop().add_reader(descriptor, self._read, descriptor)

    def _read(self, descriptor: int) -> None:
        """Which file has changed is told in each event; those of the database and its log begin with one name."""
        with suppress(BlockingIOError):
            if self._database.name.encode() in os.read(descriptor, _BUFFER):
                for changed in self._watching:
                    changed.set()

    def _close(self) -> None:
        if self._descriptor is not None:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None


async def _moments(changed: asyncio.Event) -> AsyncIterator[None]:
    while True:
        await changed.wait()
        changed.clear()
        yield


def _inotify(folder: Path) -> int:
    """A descriptor that can be read when a file in the folder was written to. Raises OSError."""
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "inotify_init1"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    descriptor = int(library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
    if descriptor < 0:
        raise _problem()
    mask = ctypes.c_uint32(_MODIFIED | _TOUCHED | _CREATED | _MOVED_IN)
    if library.inotify_add_watch(descriptor, os.fsencode(folder), mask) < 0:
        problem = _problem()
        os.close(descriptor)
        raise problem
    return descriptor


def _problem() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
