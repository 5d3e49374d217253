"""Sandboxes of an engine on another machine: their files lie in volumes, their executor is reached by a TCP port."""

import asyncio
import contextlib
import fcntl
import io
import os
import secrets
import tarfile
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from openhands_sessions.adapters.runtimes.docker.container_spec import (
    EXECUTOR_VOLUME,
    HOME,
    INSTANCE,
    PORT,
    SECRET,
    STATE,
    DockerSettings,
    MountSpec,
)
from openhands_sessions.adapters.runtimes.docker.engine import DockerEngine
from openhands_sessions.adapters.runtimes.docker.size_guard import size_in_sandbox
from openhands_sessions.adapters.runtimes.executor_client.connection import (
    ConnectionLost,
    ExecutorConnection,
    ExecutorUnresponsive,
    connect_port,
    is_responsive,
)
from openhands_sessions.adapters.runtimes.executor_client.journal import note_cleared, recorded_outcome
from openhands_sessions.adapters.runtimes.executor_client.messages import query_message, query_result
from openhands_sessions.adapters.runtimes.local.paths import TERM, SandboxPaths, remove_untrusted_tree
from openhands_sessions.adapters.runtimes.threads import ThreadLimiter
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.executor.journal import NAME as JOURNAL
from openhands_sessions.ports.runtime import WORKSPACE, Lost, Outcome, Printed, Query, UnknownAction

_MOUNT_ROOT = "/volumes"
_TARGETS = {"workspace": WORKSPACE, "state": STATE, "home": HOME}
_PREPARED, _TERM_LOCK = "furnished", "arming"
"""Files: the volumes were created; locked while a term or a secret is written."""
_JOURNAL_LIMIT = 65 << 20
_PRIVATE = 0o600


class ExecutorVolume:
    """The volume with the executor, which all sandboxes of an instance mount; each server fills it once."""

    def __init__(self, instance: str, executor: Path) -> None:
        self.instance = instance
        self.name = executor_volume(instance, executor.stem)
        self.executor = executor
        self.filled = False
        self.filling = asyncio.Lock()


class VolumeStorage:
    """Volumes for the workspace, the state and the home. The folder on this machine holds what the sandbox must not
    see or change: the lock of those that have it open, the secret, the highest owner's term. The methods are those of
    BindMountStorage, and may raise RuntimeUnavailable."""

    def __init__(
        self,
        paths: SandboxPaths,
        name: str,
        *,
        engine: DockerEngine,
        settings: DockerSettings,
        executor: ExecutorVolume,
        limiter: ThreadLimiter,
    ) -> None:
        self.paths = paths
        self._limiter = limiter
        self._engine = engine
        self._settings = settings
        self._executor = executor
        self._labels = {INSTANCE: executor.instance}
        self._name = name
        self._volumes = {f"{name}-{each}": target for each, target in _TARGETS.items()}
        self._port: int | None = None
        self.size = size_in_sandbox(self._query, *_TARGETS.values())
        self.mounts = MountSpec(
            mounts=[
                *(self._mount(volume, target) for volume, target in self._volumes.items()),
                self._mount(executor.name, EXECUTOR_VOLUME) | {"ReadOnly": True},
            ],
            executor=f"{EXECUTOR_VOLUME}/{executor.executor.name}",
            options={"--port": PORT, "--secret": f"{STATE}/{SECRET}"},
            published=_publish_address(engine.host or ""),
        )

    async def prepare(self) -> None:
        await self._limiter.use_folder(self.paths.folder.mkdir, 0o700, True, True)
        prepared = await self._limiter.use_folder(self._file(_PREPARED).exists)
        if prepared and not await self._engine.has_volume(f"{self._name}-workspace"):
            await self._limiter.use_folder(note_cleared, self.paths.folder)

    async def prepare_mounts(self) -> None:
        """Create the volumes, give them to the sandbox's user, and put the executor into its volume; before the
        container is created."""
        await self._limiter.use_folder(self._file(_PREPARED).touch)
        async with self._file_carrier() as carrier:
            await self._engine.put(carrier, _MOUNT_ROOT, _tar(self._settings.owner, dict.fromkeys(_TARGETS)))
            async with self._executor.filling:
                if not self._executor.filled:
                    await self._put_executor(carrier)
                    self._executor.filled = True

    async def set_secret(self, container: str) -> None:
        """Give the container a new secret that clients of its executor need. The executor deletes the file once it has
        read it, so each start needs a new one."""
        secret = secrets.token_hex(32)
        async with self._term_lock():
            await self._limiter.use_folder(self._write, SECRET, secret)
            self._port = None
            content = {SECRET: secret.encode(), TERM: str(await self.term()).encode()}
            await self._engine.put(container, STATE, _tar(self._settings.owner, content))

    async def connect(self, term: int) -> ExecutorConnection | None:
        connection = await self._connect(term)
        if connection is None:
            return None
        try:
            if term > await self.term():
                async with self._term_lock():
                    await self._raise_term(term)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def listens(self) -> bool:
        try:
            connection = await self._connect(None)
        except ExecutorUnresponsive:
            return True
        if connection is not None:
            await connection.close()
        return connection is not None

    async def is_responsive(self) -> bool:
        return await is_responsive(self._connect(None), self._settings.answer_within)

    async def kill(self) -> None:
        """Nothing: the port of an executor is closed when its daemon has died."""

    async def term(self) -> int:
        known = await self._limiter.use_folder(self._read, TERM)
        return -1 if known is None else int(known)

    async def claim(self, term: int) -> None:
        async with self._term_lock():
            await self._raise_term(term)
            # Before the volumes are there, `set_secret` gives it to the first executor.
            if await self._limiter.use_folder(self._file(_PREPARED).exists):
                content = {TERM: str(await self.term()).encode()}
                async with self._file_carrier() as carrier:
                    await self._engine.put(carrier, f"{_MOUNT_ROOT}/state", _tar(self._settings.owner, content))

    async def recorded_outcome(self, key: str) -> Outcome | UnknownAction | Lost | None:
        if not await self._limiter.use_folder(self._file(_PREPARED).exists):
            return None
        async with self._file_carrier() as carrier:
            archive = await self._engine.get(carrier, f"{_MOUNT_ROOT}/state/{JOURNAL}", _JOURNAL_LIMIT)
        return None if archive is None else await asyncio.to_thread(_outcome_in, archive, key)

    async def delete(self, *, keep_journal: bool = False) -> bool:
        for volume, target in self._volumes.items():
            if not (keep_journal and target == STATE):
                await self._engine.remove_volume(volume)
        if not keep_journal and await self._limiter.use_folder(self.paths.folder.exists):
            await self._limiter.use_folder(remove_untrusted_tree, self.paths.folder)
        return True

    async def _raise_term(self, term: int) -> None:
        if term > await self.term():
            await self._limiter.use_folder(self._write, TERM, str(term))

    @asynccontextmanager
    async def _term_lock(self) -> AsyncIterator[None]:
        """Excludes other servers of this data folder."""
        lock = await self._limiter.use_folder(
            os.open, self._file(_TERM_LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE
        )
        try:
            await self._limiter.use_folder(fcntl.flock, lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    @asynccontextmanager
    async def _file_carrier(self) -> AsyncIterator[str]:
        """A container that never runs, through which files are put into volumes and taken out of them."""
        mounts = [
            *(self._mount(volume, f"{_MOUNT_ROOT}/{volume.rpartition('-')[2]}") for volume in self._volumes),
            self._mount(self._executor.name, f"{_MOUNT_ROOT}/programs"),
        ]
        spec = {"Image": self._settings.image, "Entrypoint": ["true"], "HostConfig": {"Mounts": mounts}}
        carrier = await self._engine.create(None, spec, self._labels)
        try:
            yield carrier
        finally:
            await asyncio.shield(self._engine.remove(carrier))

    async def _put_executor(self, carrier: str) -> None:
        name = self._executor.executor.name
        there = await self._engine.get(carrier, f"{_MOUNT_ROOT}/programs/{name}", _JOURNAL_LIMIT)
        content = await self._limiter.use_folder(self._executor.executor.read_bytes)
        if there is None or _file_in_tar(there) != content:
            await self._engine.put(carrier, f"{_MOUNT_ROOT}/programs", _tar((0, 0), {name: content}, mode=0o444))

    async def _connect(self, term: int | None) -> ExecutorConnection | None:
        secret = await self._limiter.use_folder(self._read, SECRET)
        with contextlib.suppress(RuntimeUnavailable):  # containers go on for a while without their engine
            self._port = await self._engine.port(self._name, PORT)
        if self._port is None or secret is None:
            return None
        return await connect_port(
            self._engine.host or "", self._port, secret=secret, term=term, seconds=self._settings.answer_within
        )

    async def _query(self, query: Query) -> Printed:
        connection = await self.connect(await self.term())
        if connection is None:
            raise RuntimeUnavailable("no executor can be reached")
        try:
            return query_result(await connection.call("query", query_message(query, environment={})))
        except ConnectionLost:
            raise RuntimeUnavailable("the executor has ended") from None
        finally:
            await connection.close()

    def _mount(self, volume: str, target: str) -> dict[str, Any]:
        options = {"NoCopy": True, "Labels": self._labels}
        return {"Type": "volume", "Source": volume, "Target": target, "VolumeOptions": options}

    def _file(self, name: str) -> Path:
        return self.paths.folder / name

    def _write(self, name: str, text: str) -> None:
        temporary = self._file(f"{name}.new")
        temporary.touch(_PRIVATE)
        temporary.write_text(text)
        temporary.rename(self._file(name))

    def _read(self, name: str) -> str | None:
        try:
            return self._file(name).read_text()
        except FileNotFoundError:
            return None


def executor_volume(instance: str, name: str) -> str:
    return f"openhands-sessions-{instance}-program-{name}"


def _publish_address(host: str) -> str:
    """The address at which the engine's machine publishes ports: the engine's own where it is known, else all."""
    try:
        return str(ip_address(host))
    except ValueError:
        return ""


def _outcome_in(archive: bytes, key: str) -> Outcome | UnknownAction | Lost | None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / JOURNAL).write_bytes(_file_in_tar(archive))
        return recorded_outcome(Path(folder), key)


def _tar(owner: tuple[int, int], entries: Mapping[str, bytes | None], *, mode: int = 0o400) -> bytes:
    """An archive of files, and of folders where the content is None."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in entries.items():
            entry = tarfile.TarInfo(name)
            entry.uid, entry.gid = owner
            entry.mode = mode
            if content is None:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o700
            else:
                entry.size = len(content)
            archive.addfile(entry, None if content is None else io.BytesIO(content))
    return buffer.getvalue()


def _file_in_tar(archive: bytes) -> bytes:
    """The content of the first entry; empty where a command has replaced the file by something else."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
            first = opened.next()
            file = opened.extractfile(first) if first is not None and first.isreg() else None
            return b"" if file is None else file.read()
    except tarfile.TarError:
        return b""
