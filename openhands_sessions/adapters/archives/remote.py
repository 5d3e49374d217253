"""Trajectories on any file system that fsspec knows: an S3-compatible bucket, a Hugging Face dataset, and others."""

import asyncio
import tempfile
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Protocol

import fsspec

from openhands_sessions.core.errors import BadInput, StorageUnavailable

AT_ONCE = 2
"""Calls of the library that run at once; each blocks a thread."""
WITHOUT_FOLDERS = frozenset(("abfs", "az", "gcs", "gs", "hf", "s3", "s3a"))
"""Kinds without folders, of which some would make a bucket in their place."""


class _Dataset(Protocol):
    """See `PrivateDataset`."""

    def make(self) -> None: ...
    def put(self, file: IO[bytes], place: str) -> None: ...


class RemoteArchive:
    """A TrajectoryArchive. What is saved is collected in a temporary file first, since such systems take files as a
    whole. A call that hangs keeps its thread and its place, and keeps no server from ending."""

    def __init__(
        self, address: str, options: Mapping[str, Any], scratch: Path, dataset: _Dataset | None = None
    ) -> None:
        """`address` names a folder, as `s3://bucket/folder`; `options` are what its kind of system takes; `scratch` is
        where temporary files may be. `dataset` takes the files where it is given: it is made before the first one, and
        again before the one that follows a failure. Raises BadInput for a kind that is not there."""
        self._address = address.rstrip("/")
        self._dataset = dataset
        self._made = False
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
            raise StorageUnavailable(f"the archive of trajectories refuses: {_told(error)}") from error

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
                    self._save(file, place)
            except Exception as error:  # each file system raises its own
                failure, self._made = error, False
            with suppress(RuntimeError):  # the server has ended meanwhile
                loop.call_soon_threadsafe(ended, failure)

        threading.Thread(target=run, name="trajectory", daemon=True).start()
        return done

    def _save(self, file: IO[bytes], place: str) -> None:
        if self._dataset is not None:
            if not self._made:
                self._dataset.make()
                self._made = True
            self._dataset.put(file, place)
            return
        # Systems are kept for each thread that asks, and for good: not here, where each file has a thread of its own.
        system, path = fsspec.core.url_to_fs(place, skip_instance_cache=True, **self._options)
        if place.partition("://")[0] not in WITHOUT_FOLDERS:
            with suppress(NotImplementedError, FileExistsError):
                system.makedirs(system._parent(path), exist_ok=True)
        system.put_file(f"/proc/self/fd/{file.fileno()}", path)


def _told(error: Exception) -> str:
    """What kind of error it is, with the HTTP status where the library tells it: its words may have keys and paths."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return type(error).__name__ if status is None else f"{type(error).__name__}, HTTP status {status}"
