"""Trajectories in a folder of this machine, for its owner only."""

import asyncio
import fcntl
import os
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import aiofiles

from openhands_sessions.core.errors import StorageUnavailable

_UNFINISHED = re.compile(r"\..+\.json\.[0-9a-f]{16}")


class FolderArchive:
    """A TrajectoryArchive. A file that is being written has a name that begins with a dot, and is locked by its writer;
    what a crash has left is removed with the first save."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cleared = False

    async def save(self, name: str, content: AsyncIterator[bytes]) -> None:
        new = self._folder / f".{name}.{secrets.token_hex(8)}"
        try:
            await asyncio.to_thread(self._prepare)
            try:
                async with aiofiles.open(new, "xb", opener=_for_its_owner) as file:
                    async for piece in content:
                        await file.write(piece)
                    await file.flush()
                    await asyncio.to_thread(os.fsync, file.fileno())
                    await asyncio.to_thread(_move, new, self._folder / name)
            except BaseException:
                new.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise StorageUnavailable(f"the folder of trajectories cannot be written: {error.strerror}") from error

    def _prepare(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._cleared:
            for path in self._folder.iterdir():
                if _UNFINISHED.fullmatch(path.name):
                    _remove_abandoned(path)
        self._cleared = True


def _for_its_owner(path: str, flags: int) -> int:
    number = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with suppress(OSError):  # of a file system without locks
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return number


def _remove_abandoned(path: Path) -> None:
    """Remove unfinished files that no process has locked: a process that ends gives up its locks."""
    with suppress(OSError):
        number = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        finally:
            os.close(number)


def _move(new: Path, place: Path) -> None:
    new.replace(place)
    folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
