"""Folders as zip archives, in chunks, so that no archive need be in memory whole."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
import zipfile
from itertools import islice
from typing import Generator, Iterator, NamedTuple

from .chunks import CHUNK_SIZE, ArchiveTooLarge
from .workspace import READ_FOLDER, OutsidePath, UnfitFile, WorkspaceFolder, opened_folder

_FAST = 3
_EARLIEST, _LATEST = 315_532_800.0, 4_354_819_198.0
"""The range of times in a zip archive, in seconds: 1980 to 2107."""
_DEPTH = 100
_DEVICE = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])(?=[ .]|\Z)", re.IGNORECASE)
_NAMES = 100_000
"""Names of one folder that are read; more are over the limit of any archive."""
_NAMES_CHANGED = (
    b"%d names that another system reads as a path or a device were changed; each such entry has its own as comment."
)


class ArchiveLimits(NamedTuple):
    """Limits of one archive: bytes before compression, and names."""

    size: int = 4 << 30
    names: int = 50_000


class _Entry(NamedTuple):
    """A file or a folder (`name` ends in `/`) of the archive; `path` is its path in the workspace, `below` the same
    from the folder that is packed."""

    name: str
    path: str
    below: str
    size: int
    changed: float
    executable: bool


def zip_chunks(workspace: WorkspaceFolder, path: str, limits: ArchiveLimits) -> Generator[bytes, bytes | None, None]:
    """A zip archive in chunks. Links to files inside count as the files; other links, and what is not a file, are left
    out. Names that another system reads as a path or a device are changed, and comments say so. Raises OutsidePath,
    UnfitFile and ArchiveTooLarge, before the first chunk unless the folder grows meanwhile."""
    _check_limits(workspace, path, limits)
    buffer = _ChunkBuffer()
    left = limits.size
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=_FAST) as archive:
        for entry in _entries(workspace, path):
            left -= entry.size
            if left < 0 or len(archive.NameToInfo) >= limits.names:
                raise ArchiveTooLarge("the folder grew over the limit while it was read")
            if entry.name.endswith("/"):
                archive.writestr(_info(archive, entry), b"")
            else:
                for _ in _write_file(workspace, entry, archive):
                    yield from buffer.drain(CHUNK_SIZE)
            yield from buffer.drain(CHUNK_SIZE)
        changed = sum(bool(info.comment) for info in archive.filelist)
        if changed:
            archive.comment = _NAMES_CHANGED % changed
    yield from buffer.drain()


def _write_file(workspace: WorkspaceFolder, entry: _Entry, archive: zipfile.ZipFile) -> Iterator[None]:
    """Write a file up to the size that it had when the folder was read, and yield after each chunk."""
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
        return  # removed meanwhile


def _check_limits(workspace: WorkspaceFolder, path: str, limits: ArchiveLimits) -> None:
    size = 0
    for names, entry in enumerate(_entries(workspace, path), 1):
        size += entry.size
        if names > limits.names or size > limits.size:
            raise ArchiveTooLarge(
                f"the folder holds more than {limits.names} files, or more than {limits.size >> 20} MiB"
            )


def _entries(workspace: WorkspaceFolder, path: str) -> Iterator[_Entry]:
    """All entries below a folder. Raises OutsidePath, UnfitFile."""
    with workspace.find(path) as found:
        if not found.is_folder:
            raise UnfitFile(f"{path or '.'} is not a folder")
        folder = os.open(found.name, READ_FOLDER, dir_fd=found.folder)
    try:
        yield from _below(workspace, folder, path.rstrip("/"), _Entry("", "", "", 0, 0.0, True))
    finally:
        os.close(folder)


def _below(workspace: WorkspaceFolder, folder: int, path: str, above: _Entry) -> Iterator[_Entry]:
    """Does not follow links to folders, which may form circles."""
    with os.scandir(folder) as scanned:
        entries = sorted(islice(scanned, _NAMES), key=lambda entry: entry.name)
    for entry in entries:
        own = os.fsencode(entry.name).decode("utf-8", "replace")
        shown, below = above.name + portable_name(own), above.below + own
        real = f"{path}/{entry.name}" if path else entry.name
        with contextlib.suppress(OSError, OutsidePath, UnfitFile):  # removed meanwhile
            if entry.is_dir(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                inner = _Entry(shown + "/", real, below + "/", 0, status.st_mtime, True)
                yield inner
                if shown.count("/") < _DEPTH:
                    with opened_folder(entry.name, folder) as inside:
                        yield from _below(workspace, inside, real, inner)
            elif (found := _file(workspace, real, entry)) is not None:
                yield _Entry(shown, real, below, found.st_size, found.st_mtime, bool(found.st_mode & stat.S_IXUSR))


def portable_name(name: str) -> str:
    """A name that no system reads as a path or a device."""
    end = len(name.rstrip(". "))
    name = re.sub(r"[\\:]", "_", name[:end]) + "_" * (len(name) - end)
    return "_" + name if _DEVICE.match(name) else name


def _file(workspace: WorkspaceFolder, path: str, entry: os.DirEntry[str]) -> os.stat_result | None:
    """The status of a file, or of the file that a link leads to; None for anything else."""
    if entry.is_symlink():
        with workspace.find(path) as found:
            status = found.status
    else:
        status = entry.stat(follow_symlinks=False)
    return status if status is not None and stat.S_ISREG(status.st_mode) else None


def _info(archive: zipfile.ZipFile, entry: _Entry) -> zipfile.ZipInfo:
    name = entry.name
    while name in archive.NameToInfo:  # names that are not UTF-8 may become equal
        name = name.rstrip("/") + "_" + "/" * name.endswith("/")
    info = zipfile.ZipInfo(name, time.gmtime(min(max(entry.changed, _EARLIEST), _LATEST))[:6])
    if entry.name != entry.below:
        info.comment = entry.below.encode()
    folder = name.endswith("/")
    mode = stat.S_IFDIR | 0o755 if folder else stat.S_IFREG | (0o755 if entry.executable else 0o644)
    info.external_attr = mode << 16 | (0x10 if folder else 0)
    info.file_size = entry.size  # lets zipfile choose the 64-bit format where needed
    info.compress_type = zipfile.ZIP_STORED if folder else zipfile.ZIP_DEFLATED
    return info


class _ChunkBuffer:
    """The unseekable file that the archive is written to; keeps the bytes until they are drained."""

    def __init__(self) -> None:
        self._kept: list[bytes] = []
        self._size = 0

    def write(self, content: bytes) -> int:
        self._kept.append(bytes(content))
        self._size += len(content)
        return len(content)

    def flush(self) -> None:
        """Nothing to do, as in `close`."""

    def close(self) -> None: ...

    def drain(self, least: int = 0) -> Iterator[bytes]:
        """All bytes as one chunk where there are more than `least`; otherwise nothing yet."""
        if self._size > least:
            yield b"".join(self._kept)
            self._kept.clear()
            self._size = 0
