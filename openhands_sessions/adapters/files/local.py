"""Files in a local folder, for its owner only."""

import asyncio
import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import aiofiles

from openhands_sessions.core.errors import NotFound, PathRefused, StorageUnavailable

PIECE_BYTES = 256 * 1024

_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_MOST_PARTS = 8
T = TypeVar("T")
_AT_ONCE = 4
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def parts_of(key: str) -> list[str]:
    """The folders and the name of a file. Raises PathRefused."""
    parts = key.split("/")
    if len(parts) > _MOST_PARTS or not all(_PART.fullmatch(part) for part in parts):
        raise PathRefused(
            "a file's key must be 1 to 8 parts joined by '/', each of 1 to 128 letters, digits, '.', '_' or '-', "
            "not beginning with '.'"
        )
    return parts


class LocalFiles:
    """Keys become paths below `root`. Each folder is opened from the one above it and no link is followed, so that
    nothing outside is reached even if folders are replaced by links meanwhile. Names that begin with a dot are
    temporary: a file being written, a folder being deleted."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._limit = asyncio.Semaphore(_AT_ONCE)

    async def read(self, key: str) -> bytes:
        return b"".join([piece async for piece in self.stream(key)])

    async def write(self, key: str, content: bytes) -> None:
        parts = parts_of(key)
        await self._call(lambda: self._replace(parts, content))

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        parts = parts_of(key)
        with _reading(key):
            async with self._limit:
                file = await aiofiles.open(key, "rb", opener=lambda _, flags: self._open(parts, flags))
            try:
                while piece := await file.read(PIECE_BYTES):
                    yield piece
            finally:
                await file.close()

    async def list(self, prefix: str = "") -> Sequence[str]:
        parts = parts_of(prefix) if prefix else []
        return await self._call(lambda: self._list(parts))

    async def delete(self, key: str) -> bool:
        parts = parts_of(key)
        return await self._call(lambda: self._delete(parts))

    async def _call(self, work: Callable[[], T]) -> T:
        async with self._limit:
            return await asyncio.to_thread(work)

    def _open(self, parts: Sequence[str], flags: int) -> int:
        with self._folder(parts[:-1]) as folder:
            return os.open(parts[-1], flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)

    def _replace(self, parts: Sequence[str], content: bytes) -> None:
        *folders, name = parts
        new = _own_name()
        try:
            with self._folder(folders, make=True) as folder:
                try:
                    with os.fdopen(os.open(new, _NEW, 0o600, dir_fd=folder), "wb") as file:
                        file.write(content)
                        file.flush()
                        os.fsync(file.fileno())
                    os.rename(new, name, src_dir_fd=folder, dst_dir_fd=folder)
                except OSError:
                    with suppress(OSError):
                        os.unlink(new, dir_fd=folder)
                    raise
                os.fsync(folder)
        except (IsADirectoryError, NotADirectoryError) as error:
            raise PathRefused("a folder has the file's key, or a file stands where a folder must be") from error
        except OSError as error:
            raise _unavailable(error) from error

    def _list(self, parts: Sequence[str]) -> Sequence[str]:
        found = []
        with suppress(FileNotFoundError, NotADirectoryError), self._folder(parts) as folder:
            for place, folders, names, descriptor in os.fwalk(".", dir_fd=folder):
                folders[:] = [name for name in folders if not name.startswith(".")]
                above = [*parts, *Path(place).parts]
                found += ["/".join([*above, name]) for name in names if _is_file(name, descriptor)]
        return sorted(found)

    def _delete(self, parts: Sequence[str]) -> bool:
        """Gone at once, also a folder: it is renamed before it is emptied."""
        *folders, name = parts
        try:
            with self._folder(folders) as folder:
                gone = _own_name()
                os.rename(name, gone, src_dir_fd=folder, dst_dir_fd=folder)
                os.fsync(folder)
                if stat.S_ISDIR(os.stat(gone, dir_fd=folder, follow_symlinks=False).st_mode):
                    shutil.rmtree(gone, dir_fd=folder)
                else:
                    os.unlink(gone, dir_fd=folder)
                return True
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise _unavailable(error) from error

    @contextmanager
    def _folder(self, parts: Sequence[str], *, make: bool = False) -> Iterator[int]:
        """A descriptor of a folder below the root. Raises PathRefused where a link stands in the way, and OSError."""
        if make:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts:
                below = _enter(folder, part, make=make)
                os.close(folder)
                folder = below
            yield folder
        finally:
            os.close(folder)


def _enter(folder: int, name: str, *, make: bool) -> int:
    if make:
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=folder)
            os.fsync(folder)
    try:
        return os.open(name, _FOLDER, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and _is_link(name, folder):
            raise PathRefused("the key leads through a link") from error
        raise


@contextmanager
def _reading(key: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise NotFound("file", key) from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise PathRefused("the key leads to a link") from error
        raise _unavailable(error) from error


def _unavailable(error: OSError) -> StorageUnavailable:
    return StorageUnavailable(f"the file cannot be used now: {error.strerror}")


def _is_link(name: str, folder: int) -> bool:
    return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)


def _is_file(name: str, folder: int) -> bool:
    """A regular one of the user's, no link."""
    try:
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return False
    return stat.S_ISREG(mode) and not name.startswith(".")


def _own_name() -> str:
    return f".{secrets.token_hex(8)}"
