"""Trajectories on any file system that fsspec knows: an S3-compatible bucket, a Hugging Face dataset, and others."""

import asyncio
import tempfile
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import fsspec

from openhands_sessions.core.errors import BadInput, StorageUnavailable

AT_ONCE = 2
"""Calls of the library that run at once; each blocks a thread."""


class RemoteArchive:
    """A TrajectoryArchive. What is saved is collected in a temporary file first, since such systems take files as a
    whole. A call that hangs keeps its thread and its place, and keeps no server from ending."""

    def __init__(self, address: str, options: Mapping[str, Any], scratch: Path) -> None:
        """`address` names a folder, as `s3://bucket/folder`; `options` are what its kind of system takes; `scratch` is
        where temporary files may be. Raises BadInput for a kind that is not there."""
        self._address = address.rstrip("/")
        self._scratch = scratch
        self._places = asyncio.Semaphore(AT_ONCE)
        self._options = dict(options)
        try:
            fsspec.get_filesystem_class(address.partition("://")[0])
        except (ValueError, ImportError) as error:
            raise BadInput("trajectories.save_to", f"needs a library that is missing: {error}") from error

    async def save(self, name: str, content: AsyncIterator[bytes]) -> None:
        # Without a name: nothing is left of it where the process is killed.
        file = await asyncio.to_thread(lambda: tempfile.TemporaryFile(dir=self._scratch))  # noqa: SIM115 a thread closes it
        try:
            async for piece in content:
                await asyncio.to_thread(file.write, piece)
            await asyncio.to_thread(file.flush)
            await self._places.acquire()
        except BaseException:
            file.close()
            raise
        if (error := await self._put(file, f"{self._address}/{name}")) is not None:
            raise StorageUnavailable(f"the archive of trajectories refuses: {type(error).__name__}") from error

    def _put(self, file: IO[bytes], place: str) -> "asyncio.Future[Exception | None]":
        """What went wrong. The thread closes the file, also where the caller was cancelled."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Exception | None] = loop.create_future()

        def ended(error: Exception | None) -> None:
            self._places.release()
            if not done.done():
                done.set_result(error)

        def run() -> None:
            failure: Exception | None = None
            try:
                with file:
                    system, path = fsspec.core.url_to_fs(place, **self._options)
                    with suppress(NotImplementedError, FileExistsError):  # object stores have no folders
                        system.makedirs(system._parent(path), exist_ok=True)
                    system.put_file(f"/proc/self/fd/{file.fileno()}", path)
            except Exception as error:  # each file system raises its own
                failure = error
            with suppress(RuntimeError):  # the server has ended meanwhile
                loop.call_soon_threadsafe(ended, failure)

        threading.Thread(target=run, name="trajectory", daemon=True).start()
        return done
