"""A file that others change while the server runs."""

import asyncio
import ctypes
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from openhands_sessions.core.errors import BadInput

log = structlog.get_logger(__name__)

LOOK_EVERY = 1.0
"""Seconds after which the file is looked at again when it is asked for."""
IN_CLOEXEC, IN_NONBLOCK = os.O_CLOEXEC, os.O_NONBLOCK
IN_CHANGES = 0x008 | 0x080 | 0x100 | 0x200
"""A file was written and closed, moved here, created or deleted, see inotify(7)."""
EVENTS = 64 * 1024
"""Bytes of notices that are taken at once."""
Stamp = tuple[int, int, int] | None
T = TypeVar("T")


class WatchedFile(Generic[T]):
    """What a file says. It is read again, in a thread, when the system tells of a change in its folder, and otherwise
    when it is asked for and LOOK_EVERY seconds have passed. One that cannot be used leaves what it said before, with a
    line in the log."""

    def __init__(
        self,
        path: Path,
        read: Callable[[Path], T],
        changed: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`changed` is called after another `value`. Raises what `read` raises."""
        self._path = path
        self._read = read
        self._changed = changed
        self._clock = clock
        self._stamp = _stamp(path)
        self.value = read(path)
        self._looked = clock()
        self._looking = asyncio.Lock()
        self._noticing: asyncio.Task[None] | None = None
        self._again = False

    async def refresh(self) -> None:
        """See to it that `value` is no older than LOOK_EVERY seconds."""
        if self._clock() - self._looked >= LOOK_EVERY:
            await self._look()

    @asynccontextmanager
    async def noticed(self) -> AsyncIterator[None]:
        """While the system tells of changes, as far as it does: for a file of another machine it may not."""
        loop = asyncio.get_running_loop()
        try:
            notices = _notices(self._path.parent)
        except OSError as error:
            log.info("changes of a file are noticed late", file=str(self._path), problem=error.strerror)
            yield
            return
        loop.add_reader(notices, self._notice, notices)
        try:
            yield
        finally:
            loop.remove_reader(notices)
            os.close(notices)
            if (noticing := self._noticing) is not None:
                noticing.cancel()
                await asyncio.wait([noticing])

    def _notice(self, notices: int) -> None:
        try:
            os.read(notices, EVENTS)
        except BlockingIOError:
            return
        self._again = True
        if self._noticing is None:
            self._noticing = asyncio.create_task(self._look_again(), name=f"reads {self._path.name}")

    async def _look_again(self) -> None:
        try:
            while self._again:
                self._again = False
                await self._look()
        finally:
            self._noticing = None

    async def _look(self) -> None:
        async with self._looking:
            self._looked = self._clock()
            stamp = await asyncio.to_thread(_stamp, self._path)
            if stamp == self._stamp:
                return
            try:
                value = await asyncio.to_thread(self._read, self._path)
            except BadInput as error:
                log.error("a file is left as it was read before", file=str(self._path), problem=error.message)
            else:
                self.value = value
                self._changed()
            self._stamp = stamp


def _stamp(path: Path) -> Stamp:
    """Another one after each change; None where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _notices(folder: Path) -> int:
    """A descriptor that can be read from when something changes in the folder. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor: int = libc.inotify_init1(IN_CLOEXEC | IN_NONBLOCK)
    if descriptor < 0:
        raise _os_error()
    if libc.inotify_add_watch(descriptor, os.fsencode(folder), IN_CHANGES) < 0:
        error = _os_error()
        os.close(descriptor)
        raise error
    return descriptor


def _os_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
