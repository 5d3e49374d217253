"""Copies a folder that others change meanwhile, among them commands of sandboxes: no link is followed."""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

DEEPEST = 200
"""Folders below each other; what is deeper is left out."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_AT_ONCE = 64 * 1024 * 1024
_MODE = 0o7777


@dataclass(slots=True)
class Copied:
    """What was copied, and by their paths what was not, with the reasons."""

    files: int = 0
    size: int = 0
    left_out: list[tuple[str, str]] = field(default_factory=list)

    def with_more(self, other: "Copied") -> "Copied":
        """Both together."""
        return Copied(self.files + other.files, self.size + other.size, self.left_out + other.left_out)


def copy_folder(source: Path, target: Path, leave_out: Callable[[str], bool] = lambda path: False) -> Copied:
    """Copy everything below `source` into the new folder `target`, with modes, times, links and, for root, owners.
    `leave_out` is asked with each path below `source`. What cannot be read is left out; so are sockets and pipes,
    without a word, since they hold nothing. Blocks. Raises OSError where `source` is no folder, or the copy cannot be
    written."""
    copied = Copied()
    top = os.open(source, _FOLDER)
    try:
        target.mkdir(mode=0o700)
        into = os.open(target, _FOLDER)
        try:
            _Copying(copied, leave_out).folder(top, into, "", 0)
        finally:
            os.close(into)
    finally:
        os.close(top)
    return copied


class _Copying:
    """Each name is opened from its open folder, so that none leads elsewhere if it is replaced by a link."""

    def __init__(self, copied: Copied, leave_out: Callable[[str], bool]) -> None:
        self._copied = copied
        self._leave_out = leave_out

    def folder(self, source: int, target: int, path: str, depth: int) -> None:
        with os.scandir(source) as entries:
            names = sorted(entry.name for entry in entries)
        for name in names:
            below = f"{path}/{name}" if path else name
            if not self._leave_out(below):
                self._copy(source, target, name, below, depth)
        _take_over(os.fstat(source), target)

    def _copy(self, source: int, target: int, name: str, path: str, depth: int) -> None:
        try:
            status = os.stat(name, dir_fd=source, follow_symlinks=False)
            link = os.readlink(name, dir_fd=source) if stat.S_ISLNK(status.st_mode) else None
            is_folder = stat.S_ISDIR(status.st_mode)
            if link is None and not is_folder and not stat.S_ISREG(status.st_mode):
                return
            opened = os.open(name, _FOLDER if is_folder else _FILE, dir_fd=source) if link is None else None
        except FileNotFoundError:
            return  # it is gone by now
        except OSError as error:
            self._copied.left_out.append((path, error.strerror or "cannot be read"))
            return
        if link is not None:
            os.symlink(link, name, dir_fd=target)
            _own(status, name, target)
        elif opened is not None:
            try:
                self._copy_opened(opened, target, name, path, depth)
            finally:
                os.close(opened)

    def _copy_opened(self, opened: int, target: int, name: str, path: str, depth: int) -> None:
        status = os.fstat(opened)  # of what was opened, whatever has the name by now
        if stat.S_ISREG(status.st_mode):
            self._file(opened, status, target, name, path)
        elif depth >= DEEPEST:
            self._copied.left_out.append((path, f"more than {DEEPEST} folders deep"))
        elif stat.S_ISDIR(status.st_mode):
            os.mkdir(name, 0o700, dir_fd=target)
            into = os.open(name, _FOLDER, dir_fd=target)
            try:
                self.folder(opened, into, path, depth + 1)
            finally:
                os.close(into)

    def _file(self, opened: int, status: os.stat_result, target: int, name: str, path: str) -> None:
        """As much as the file holds now: one that grows would never end."""
        into = os.open(name, _NEW, 0o600, dir_fd=target)
        try:
            left = status.st_size
            while left > 0 and (count := os.sendfile(into, opened, None, min(left, _AT_ONCE))) > 0:
                left -= count
            _take_over(status, into)
        finally:
            os.close(into)
        self._copied.files += 1
        self._copied.size += status.st_size - left


def _take_over(status: os.stat_result, file: int) -> None:
    if os.geteuid() == 0:
        os.fchown(file, status.st_uid, status.st_gid)
    os.fchmod(file, status.st_mode & _MODE)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def _own(status: os.stat_result, name: str, folder: int) -> None:
    if os.geteuid() == 0:
        os.chown(name, status.st_uid, status.st_gid, dir_fd=folder, follow_symlinks=False)
