"""Trajectories in a folder of this machine, for its owner only."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import aiofiles

from openhands_sessions.core.errors import StorageUnavailable


class FolderArchive:
    """A TrajectoryArchive. A file that is being written has a name that begins with a dot; one that a crash has left
    is ignored."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def save(self, name: str, content: AsyncIterator[bytes]) -> None:
        new = self._folder / f".{name}.{secrets.token_hex(8)}"
        try:
            await asyncio.to_thread(self._folder.mkdir, mode=0o700, parents=True, exist_ok=True)
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


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _move(new: Path, place: Path) -> None:
    new.replace(place)
    folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
