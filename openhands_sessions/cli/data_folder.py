"""Opening the data folder in this process, or a server in its place; the lock that keeps a second server out."""

import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from openhands_sessions import bootstrap
from openhands_sessions.config.config import Config
from openhands_sessions.core.errors import SessionsError
from openhands_sessions.ports.access import Access

LOCK = "server.lock"


class DataFolderLocked(SessionsError):
    """Another process holds the lock; `holder` describes it."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"another server runs on this data folder: {holder}")
        self.holder = holder


@asynccontextmanager
async def opened(config: Config, server: str | None) -> AsyncIterator[Access]:
    """The ports of `server`, or with None those of the data folder's user. Raises SessionsError."""
    if server is not None:
        key = config.server.session_api_key
        async with bootstrap.remote(server, None if key is None else key.get_secret_value()) as access:
            yield access
        return
    async with application(config) as found:
        yield found.local


@asynccontextmanager
async def application(config: Config) -> AsyncIterator[bootstrap.Application]:
    """The whole application in this process. Raises SessionsError, also for a data folder that cannot be used."""
    async with AsyncExitStack() as stack:
        with usable(config.data_dir):
            found = await stack.enter_async_context(bootstrap.open_application(config))
        yield found


@contextmanager
def usable(folder: Path) -> Iterator[None]:
    """Turns an OSError of the block into a SessionsError that names the folder."""
    try:
        yield
    except OSError as error:
        problem = error.strerror or str(error)
        raise SessionsError(f"the data folder {folder} cannot be used: {problem}") from error


@contextmanager
def server_lock(folder: Path) -> Iterator[None]:
    """Hold the folder's lock for the length of the block. Only `serve` takes it.

    It is a lock of the kernel, which ends with the process; the file's content is for people. Python opens files so
    that child processes do not inherit them. Raises DataFolderLocked, OSError.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataFolderLocked(_holder(descriptor)) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    pid, _, since = os.pread(descriptor, 100, 0).decode(errors="replace").strip().partition(" ")
    return f"process {pid}, since {since}" if pid and since else "one that is just starting"
