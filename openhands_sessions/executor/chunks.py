"""A folder as a zip archive, made while it is read."""

from __future__ import annotations

import contextlib
import os
import stat
import time
import zipfile
from dataclasses import dataclass
from itertools import islice
from typing import Generator, Iterator, Optional

from .workspace import OutsidePath, UnfitFile, WorkspaceFolder

CHUNK_SIZE = 256 << 10
"""Bytes that are read at once."""
Chunks = Generator[Optional[bytes], Optional[bytes], None]
_FAST = 3
_EARLIEST, _LATEST = 315_532_800.0, 4_354_819_198.0
"""The times that an archive can tell, in seconds: from 1980 to 2107."""
_DEPTH = 100
_NAMES = 100_000
"""Names of one folder that are looked at; so many are too much for any archive."""


@dataclass(frozen=True)
class ArchiveLimits:
    """How much may go into one archive: bytes before they are packed, and names."""

    size: int = 4 << 30
    names: int = 50_000


@dataclass(frozen=True)
class _Entry:
    """A file or a folder (`name` ends in `/`) of the archive; `path` is how the workspace knows it."""

    name: str
    path: str
    size: int
    changed: float
    executable: bool


class ArchiveTooLarge(Exception):
    """A folder is over the limits of an archive."""


def read_chunks(workspace: WorkspaceFolder, path: str) -> Generator[bytes, bytes | None, None]:
    """Raises OutsidePath, UnfitFile."""
    with workspace.open(path) as file:
        while True:
            piece = file.read(CHUNK_SIZE)
            if not piece:
                return
            yield piece


def write_chunks(workspace: WorkspaceFolder, path: str) -> Generator[None, bytes | None, None]:
    """Takes pieces, and None behind the last one: without it, nothing is changed. Raises OutsidePath, UnfitFile."""
    with workspace.replace(path) as file:
        while True:
            piece = yield
            if piece is None:
                return
            file.write(piece)


def zip_chunks(workspace: WorkspaceFolder, path: str, limits: ArchiveLimits) -> Generator[bytes, bytes | None, None]:
    """The archive in pieces. Links to files inside count as the files; links that lead elsewhere, to folders or to
    nothing, and what is no file are left out. Raises OutsidePath, UnfitFile, and TooMuch, all of them before the first
    piece, but for a folder that grows meanwhile."""
    _check_limits(workspace, path, limits)
    pieces = _ChunkBuffer()
    left = limits.size
    with zipfile.ZipFile(pieces, "w", zipfile.ZIP_DEFLATED, compresslevel=_FAST) as archive:
        for entry in _entries(workspace, path):
            left -= entry.size
            if left < 0 or len(archive.NameToInfo) >= limits.names:
                raise ArchiveTooLarge("the folder grew over the limit while it was read")
            if entry.name.endswith("/"):
                archive.writestr(_info(archive, entry), b"")
            else:
                for _ in _write_file(workspace, entry, archive):
                    yield from pieces.drain(CHUNK_SIZE)
            yield from pieces.drain(CHUNK_SIZE)
    yield from pieces.drain()


def _write_file(workspace: WorkspaceFolder, entry: _Entry, archive: zipfile.ZipFile) -> Iterator[None]:
    """Write a file, as much of it as there was when the folder was read, and stop after each piece."""
    left = entry.size
    try:
        with workspace.open(entry.path) as file, archive.open(_info(archive, entry), "w") as target:
            while left:
                content = file.read(min(left, CHUNK_SIZE))
                if not content:
                    return
                left -= len(content)
                target.write(content)
                yield
    except (UnfitFile, OutsidePath):
        return  # it may be gone since


def _check_limits(workspace: WorkspaceFolder, path: str, limits: ArchiveLimits) -> None:
    size = 0
    for names, entry in enumerate(_entries(workspace, path), 1):
        size += entry.size
        if names > limits.names or size > limits.size:
            raise ArchiveTooLarge(
                f"the folder holds more than {limits.names} files, or more than {limits.size >> 20} MiB"
            )


def _entries(workspace: WorkspaceFolder, path: str) -> Iterator[_Entry]:
    """What is below a folder, without the folder itself. Raises OutsidePath, UnfitFile."""
    with workspace.find(path) as found:
        if not found.is_folder:
            raise UnfitFile(f"{path or '.'} is not a folder")
        folder = os.open(found.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=found.folder)
    try:
        yield from _below(workspace, folder, path.rstrip("/"), "")
    finally:
        os.close(folder)


def _below(workspace: WorkspaceFolder, folder: int, path: str, name: str) -> Iterator[_Entry]:
    """Links are not followed on the way, so that there is no going in circles."""
    with os.scandir(folder) as scanned:
        entries = sorted(islice(scanned, _NAMES), key=lambda entry: entry.name)
    for entry in entries:
        shown = name + os.fsencode(entry.name).decode("utf-8", "replace")
        real = f"{path}/{entry.name}" if path else entry.name
        with contextlib.suppress(OSError, OutsidePath, UnfitFile):  # gone since
            if entry.is_dir(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                yield _Entry(shown + "/", real, 0, status.st_mtime, True)
                if shown.count("/") < _DEPTH:
                    yield from _inside(workspace, folder, entry.name, real, shown)
            elif (found := _file(workspace, real, entry)) is not None:
                yield _Entry(shown, real, found.st_size, found.st_mtime, bool(found.st_mode & stat.S_IXUSR))


def _inside(workspace: WorkspaceFolder, parent: int, own: str, path: str, name: str) -> Iterator[_Entry]:
    folder = os.open(own, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        yield from _below(workspace, folder, path, name + "/")
    finally:
        os.close(folder)


def _file(workspace: WorkspaceFolder, path: str, entry: os.DirEntry[str]) -> os.stat_result | None:
    """What is known of a file, or of the one that a link leads to; None for what is none."""
    if entry.is_symlink():
        with workspace.find(path) as found:
            status = found.status
    else:
        status = entry.stat(follow_symlinks=False)
    return status if status is not None and stat.S_ISREG(status.st_mode) else None


def _info(archive: zipfile.ZipFile, entry: _Entry) -> zipfile.ZipInfo:
    name = entry.name
    while name in archive.NameToInfo:  # two names that are no text may look alike
        name = name.rstrip("/") + "_" + "/" * name.endswith("/")
    info = zipfile.ZipInfo(name, time.gmtime(min(max(entry.changed, _EARLIEST), _LATEST))[:6])
    folder = name.endswith("/")
    mode = stat.S_IFDIR | 0o755 if folder else stat.S_IFREG | (0o755 if entry.executable else 0o644)
    info.external_attr = mode << 16 | (0x10 if folder else 0)
    info.file_size = entry.size  # so that the archive leaves room for large numbers where they are needed
    info.compress_type = zipfile.ZIP_STORED if folder else zipfile.ZIP_DEFLATED
    return info


class _ChunkBuffer:
    """What an archive is written to: kept until it is taken, and never wound back."""

    def __init__(self) -> None:
        self._kept: list[bytes] = []
        self._size = 0

    def write(self, content: bytes) -> int:
        self._kept.append(bytes(content))
        self._size += len(content)
        return len(content)

    def flush(self) -> None:
        """There is nothing behind it, as there is nothing for `close`."""

    def close(self) -> None: ...

    def drain(self, least: int = 0) -> Iterator[bytes]:
        """All of it as one piece, where that would have `least` bytes; otherwise nothing yet."""
        if self._size > least:
            yield b"".join(self._kept)
            self._kept.clear()
            self._size = 0
