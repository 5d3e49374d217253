"""A folder, and access to its files by paths that cannot lead out of it."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

NAME = "/workspace"
NAMES_LISTED = 5000
READ_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LINKS_FOLLOWED = 40
_PATH_BYTES = 4095
_NAME_BYTES = 255
_DEPTH = 200


class OutsidePath(Exception):
    """The path leads out of the workspace, or is not a valid path; the message says which."""


class UnfitFile(Exception):
    """No such file, not a file, too large, or refused by the system; the message says which."""


class FoundPath(NamedTuple):
    """The target of a path: an open folder and a name in it, `.` for the folder itself; its status, None where nothing
    has the name. Valid within the block that returned it."""

    folder: int
    name: str
    status: os.stat_result | None

    @property
    def is_folder(self) -> bool:
        return self.status is not None and stat.S_ISDIR(self.status.st_mode)


class WorkspaceFolder:
    """The files below one folder, by paths `/workspace/…` or relative ones. Each part of a path is opened from the
    folder above it, so that no link leads out, even if it is moved meanwhile; links that stay inside are followed. New
    files and folders get `owner`, a user and a group, where that is given."""

    def __init__(self, root: Path, *, owner: tuple[int, int] | None = None) -> None:
        self.root = root.resolve()
        self._owner = owner

    def named(self, real: str) -> str:
        """The `/workspace/…` path of a real path inside; other paths unchanged."""
        root = str(self.root)
        return NAME + real[len(root) :] if (real + "/").startswith(root + "/") else real

    def name_of(self, path: str) -> str:
        """The full `/workspace/…` path. Raises OutsidePath."""
        return "/".join([NAME, *self._parts(path)])

    @contextlib.contextmanager
    def find(self, path: str, *, make_folders: bool = False) -> Iterator[FoundPath]:
        """Resolve a path. Raises OutsidePath, and UnfitFile for any OSError inside the block."""
        parts = self._parts(path)
        try:
            with contextlib.closing(_Walk(self.root, self._inside, self._owner)) as walk:
                yield walk.to(parts, make_folders)
        except OSError as error:
            raise UnfitFile(f"{path}: {os.strerror(error.errno or 0)}") from error

    def read(self, path: str, *, limit: int) -> bytes:
        """A whole file. Raises UnfitFile where it is larger than `limit` bytes."""
        with self.open(path) as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise UnfitFile(f"{path} is larger than {limit} bytes")
        return content

    def write(self, path: str, content: bytes) -> None:
        """Replace a file atomically, durable when it returns; keeps its mode, creates the folders above it."""
        with self.replace(path) as file:
            file.write(content)

    @contextlib.contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        """Open a file for reading."""
        with self.find(path) as found, _opened(found, path) as file:
            yield file

    @contextlib.contextmanager
    def replace(self, path: str) -> Iterator[BinaryIO]:
        """As `write`, through a file object: takes effect at the end of the block, and not at all where the block
        raises."""
        with self.find(path, make_folders=True) as found:
            if found.status is not None and not stat.S_ISREG(found.status.st_mode):
                raise UnfitFile(f"{path} is not a file")
            with _replacing(found, self._owner) as file:
                yield file

    def names(self, path: str = "", *, limit: int = NAMES_LISTED) -> list[str]:
        """Names in a folder, sorted, with a `/` after folders. Raises UnfitFile where there are more than `limit`."""
        names = []
        with self.find(path) as found:
            if found.status is None:
                raise FileNotFoundError(errno.ENOENT, path)
            if not found.is_folder:
                raise NotADirectoryError(errno.ENOTDIR, path)
            with opened_folder(".", found.folder) as folder, os.scandir(folder) as entries:
                for entry in entries:
                    shown = os.fsencode(entry.name).decode("utf-8", "replace")
                    names.append(shown + "/" if entry.is_dir(follow_symlinks=False) else shown)
                    if len(names) > limit:
                        raise UnfitFile(f"{path} holds more than {limit} names")
        return sorted(names)

    def remove(self, path: str) -> None:
        """Delete a file."""
        with self.find(path) as found:
            os.unlink(found.name, dir_fd=found.folder)

    def _parts(self, path: str) -> list[str]:
        try:
            too_long = len(os.fsencode(path)) > _PATH_BYTES
        except UnicodeEncodeError:
            too_long = True
        if too_long or "\0" in path:
            raise OutsidePath(f"{path[:100]!r} cannot be a path")
        parts = self._inside(path)
        if parts is None:
            raise OutsidePath(f"{path} lies outside {NAME}")
        if ".." in parts:
            raise OutsidePath(f"{path} has '..' in it")
        if len(parts) > _DEPTH or any(len(os.fsencode(part)) > _NAME_BYTES for part in parts):
            raise OutsidePath(f"{path[:100]!r} is too long or too deep")
        return parts

    def _inside(self, path: str) -> list[str] | None:
        """The parts below the root, None for a path outside."""
        if path.startswith("/"):
            path = self.named(path)
            if not (path + "/").startswith(NAME + "/"):
                return None
            path = path[len(NAME) :]
        return [part for part in path.split("/") if part not in ("", ".")]


class _Walk:
    """A walk down from the root that keeps every folder on it open."""

    def __init__(self, root: Path, inside: Callable[[str], list[str] | None], owner: tuple[int, int] | None) -> None:
        self._inside = inside
        self._owner = owner
        self._opened = [os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)]
        self._folders = self._opened[:]
        self._links = 0

    def close(self) -> None:
        for descriptor in self._opened:
            os.close(descriptor)

    def to(self, parts: list[str], make_folders: bool) -> FoundPath:
        ahead = deque(parts)
        while ahead:
            name = ahead.popleft()
            status = self._step(name, make_folders and bool(ahead))
            if status is None:
                if ahead:
                    raise FileNotFoundError(errno.ENOENT, name)
                return FoundPath(self._folders[-1], name, None)
            if stat.S_ISLNK(status.st_mode):
                ahead.extendleft(reversed(self._target()))
            elif not stat.S_ISDIR(status.st_mode):
                if ahead:
                    raise NotADirectoryError(errno.ENOTDIR, name)
                return FoundPath(self._folders[-1], name, status)
        return FoundPath(self._folders[-1], ".", os.fstat(self._folders[-1]))

    def _step(self, name: str, make: bool) -> os.stat_result | None:
        """Open a name in the current folder, and enter it where it is a folder; None where nothing has the name."""
        if name == "..":  # only links contain it
            if len(self._folders) == 1:
                raise OutsidePath(f"a link leads out of {NAME}")
            self._folders.pop()
            return os.fstat(self._folders[-1])
        made = make and self._made(name)
        try:
            descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._folders[-1])
        except FileNotFoundError:
            return None
        self._opened.append(descriptor)
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            self._folders.append(descriptor)
            if made and self._owner is not None:
                os.chown(f"/proc/self/fd/{descriptor}", *self._owner)
        return status

    def _made(self, name: str) -> bool:
        try:
            os.mkdir(name, dir_fd=self._folders[-1])
        except FileExistsError:
            return False
        return True

    def _target(self) -> list[str]:
        """The parts of the path to which the link just opened leads."""
        self._links += 1
        if self._links > _LINKS_FOLLOWED:
            raise OSError(errno.ELOOP, "links")
        target = os.readlink("", dir_fd=self._opened[-1])
        if not target.startswith("/"):
            return [part for part in target.split("/") if part not in ("", ".")]
        parts = self._inside(target)
        if parts is None:
            raise OutsidePath(f"a link leads out of {NAME}")
        del self._folders[1:]
        return parts


@contextlib.contextmanager
def opened_folder(name: str | Path, parent: int | None = None) -> Iterator[int]:
    """A descriptor of a folder, which must not be a link, for the length of the block. Raises OSError."""
    folder = os.open(name, READ_FOLDER, dir_fd=parent)
    try:
        yield folder
    finally:
        os.close(folder)


def _opened(found: FoundPath, path: str) -> BinaryIO:
    if found.status is None:
        raise FileNotFoundError(errno.ENOENT, path)
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # opening a FIFO must not block
    descriptor = os.open(found.name, flags, dir_fd=found.folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnfitFile(f"{path} is not a file")
    return os.fdopen(descriptor, "rb")


@contextlib.contextmanager
def _replacing(found: FoundPath, owner: tuple[int, int] | None) -> Iterator[BinaryIO]:
    temporary = ".ohs-" + os.urandom(8).hex()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=found.folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if found.status is not None:
                with contextlib.suppress(PermissionError):
                    os.fchown(descriptor, found.status.st_uid, found.status.st_gid)
                os.fchmod(descriptor, stat.S_IMODE(found.status.st_mode))
            elif owner is not None:
                os.fchown(descriptor, *owner)
            yield file
            file.flush()
            os.fsync(descriptor)
        os.rename(temporary, found.name, src_dir_fd=found.folder, dst_dir_fd=found.folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=found.folder)
        raise
    with opened_folder(".", found.folder) as folder:
        os.fsync(folder)
