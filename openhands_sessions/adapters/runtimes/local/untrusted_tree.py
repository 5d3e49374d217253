"""Deletes a folder that a stranger has filled: as deep as he likes, and closed to us where he could."""

import os
from itertools import islice
from pathlib import Path

_AT_ONCE = 1000
_INTO = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_AT = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_untrusted_tree(folder: Path) -> None:
    """Follows no link. Whatever lies deeper is first moved to the top, so that neither depth, nor open files, nor what
    is held in memory grow. Raises OSError."""
    top = os.open(folder, _INTO)
    try:
        mark = os.urandom(8).hex()
        moved = 0
        while names := _some(top):
            for name in names:
                if not _opened_up(name, top):
                    os.unlink(name, dir_fd=top)
                    continue
                below = os.open(name, _INTO, dir_fd=top)
                try:
                    moved = _emptied(below, top, mark, moved)
                finally:
                    os.close(below)
                os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    folder.rmdir()


def _emptied(folder: int, top: int, mark: str, moved: int) -> int:
    """Delete the files and move the folders up; returns how many were moved until now."""
    while names := _some(folder):
        for name in names:
            if _opened_up(name, folder):
                moved += 1
                os.rename(name, f"{mark}-{moved}", src_dir_fd=folder, dst_dir_fd=top)
            else:
                os.unlink(name, dir_fd=folder)
    return moved


def _some(folder: int) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in islice(entries, _AT_ONCE)]


def _opened_up(name: str, parent: int) -> bool:
    """Whether it is a folder, which may then be entered and changed."""
    try:
        folder = os.open(name, _AT, dir_fd=parent)
    except NotADirectoryError:
        return False
    try:
        Path(f"/proc/self/fd/{folder}").chmod(0o700)
    finally:
        os.close(folder)
    return True
