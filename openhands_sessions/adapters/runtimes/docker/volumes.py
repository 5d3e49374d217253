"""Sandboxes of an engine on another machine: their things are volumes there, their executor is reached by a port."""

import asyncio
import contextlib
import fcntl
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from openhands_sessions.adapters.runtimes.docker.archives import packed, unpacked
from openhands_sessions.adapters.runtimes.docker.container_spec import (
    HOME,
    INSTANCE,
    PORT,
    PROGRAMS,
    SECRET,
    STATE,
    MountSpec,
)
from openhands_sessions.adapters.runtimes.docker.engine import DockerEngine
from openhands_sessions.adapters.runtimes.docker.settings import DockerSettings
from openhands_sessions.adapters.runtimes.docker.size_guard import size_in_sandbox
from openhands_sessions.adapters.runtimes.executor_client import journal
from openhands_sessions.adapters.runtimes.executor_client.connection import (
    ConnectionLost,
    ExecutorConnection,
    ExecutorUnresponsive,
)
from openhands_sessions.adapters.runtimes.executor_client.handshake import connect_port, is_responsive
from openhands_sessions.adapters.runtimes.executor_client.messages import printed, query_message
from openhands_sessions.adapters.runtimes.local.paths import TERM, SandboxPaths
from openhands_sessions.adapters.runtimes.local.untrusted_tree import remove_untrusted_tree
from openhands_sessions.adapters.runtimes.threads import ThreadLimiter
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.ports.runtime import WORKSPACE, Lost, Outcome, Printed, Query, UnknownAction

P = ParamSpec("P")
T = TypeVar("T")
_ROOM = "/volumes"
_TARGETS = {"workspace": WORKSPACE, "state": STATE, "home": HOME}
_FURNISHED, _ARMING = "furnished", "arming"
_JOURNAL_LIMIT = 65 << 20
_PRIVATE = 0o600


class Programs:
    """The volume with the executor, which all sandboxes of an instance mount; filled once by each server."""

    def __init__(self, instance: str, executor: Path) -> None:
        self.instance = instance
        self.volume = executor_volume(instance, executor.stem)
        self.path = executor
        self.there = False
        self.filling = asyncio.Lock()


class VolumeStorage:
    """On this machine is only what nobody else shall know or change: who has it open, its secret, the highest term."""

    def __init__(
        self,
        paths: SandboxPaths,
        name: str,
        *,
        engine: DockerEngine,
        settings: DockerSettings,
        programs: Programs,
        limiter: ThreadLimiter,
    ) -> None:
        self.paths = paths
        self._limiter = limiter
        self._engine = engine
        self._settings = settings
        self._programs = programs
        self._labels = {INSTANCE: programs.instance}
        self._name = name
        self._volumes = {f"{name}-{each}": target for each, target in _TARGETS.items()}
        self._port: int | None = None
        self.size = size_in_sandbox(self._query, *_TARGETS.values())
        self.mounts = MountSpec(
            mounts=[
                *(self._mount(volume, target) for volume, target in self._volumes.items()),
                self._mount(programs.volume, PROGRAMS) | {"ReadOnly": True},
            ],
            executor=f"{PROGRAMS}/{programs.path.name}",
            options={"--port": PORT, "--secret": f"{STATE}/{SECRET}"},
            published=_published(engine.host or ""),
        )

    async def prepare(self) -> None:
        await self._locally(self.paths.folder.mkdir, 0o700, True, True)

    async def prepare_mounts(self) -> None:
        """Make the volumes, give them to the sandbox's user, and see that the executor is there."""
        await self._locally(self._file(_FURNISHED).touch)
        async with self._hand() as hand:
            names = [volume.rpartition("-")[2] for volume in self._volumes]
            await self._engine.put(hand, _ROOM, packed(self._settings.owner, dict.fromkeys(names)))
            async with self._programs.filling:
                if not self._programs.there:
                    await self._put_executor(hand)
                    self._programs.there = True

    async def set_secret(self, container: str) -> None:
        """A new secret for each start: the executor deletes it when it has read it."""
        secret = secrets.token_hex(32)
        async with self._alone():
            await self._locally(self._write, SECRET, secret)
            self._port = None
            content = {SECRET: secret.encode(), TERM: str(await self.term()).encode()}
            await self._engine.put(container, STATE, packed(self._settings.owner, content))

    async def connect(self, term: int) -> ExecutorConnection | None:
        link = await self._connected(term)
        if link is not None and term > await self.term():
            async with self._alone():
                await self._raise(term)
        return link

    async def listens(self) -> bool:
        try:
            link = await self._connected(None)
        except ExecutorUnresponsive:
            return True
        if link is not None:
            await link.close()
        return link is not None

    async def answers(self) -> bool:
        return await is_responsive(self._connected(None), self._settings.answer_within)

    async def kill(self) -> None:
        """Its port is closed when its daemon has died: nobody here can reach it."""

    async def term(self) -> int:
        known = await self._locally(self._read, TERM)
        return -1 if known is None else int(known)

    async def claim(self, term: int) -> None:
        async with self._alone():
            await self._raise(term)
            if await self._locally(self._file(_FURNISHED).exists):  # else `arm` will tell the first executor
                content = {TERM: str(await self.term()).encode()}
                async with self._hand() as hand:
                    await self._engine.put(hand, f"{_ROOM}/state", packed(self._settings.owner, content))

    async def _raise(self, term: int) -> None:
        if term > await self.term():
            await self._locally(self._write, TERM, str(term))

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """One at a time tells an executor of terms, among all servers of this data folder."""
        lock = await self._locally(os.open, self._file(_ARMING), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE)
        try:
            await self._locally(fcntl.flock, lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    async def recorded_outcome(self, key: str) -> Outcome | UnknownAction | Lost | None:
        if not await self._locally(self._file(_FURNISHED).exists):
            return None
        async with self._hand() as hand:
            archive = await self._engine.get(hand, f"{_ROOM}/state/{journal.NAME}", _JOURNAL_LIMIT)
        return None if archive is None else await asyncio.to_thread(_looked_up, archive, key)

    async def delete(self, *, but_the_record: bool) -> bool:
        for volume, target in self._volumes.items():
            if not (but_the_record and target == STATE):
                await self._engine.remove_volume(volume)
        if not but_the_record and await self._locally(self.paths.folder.exists):
            await self._locally(remove_untrusted_tree, self.paths.folder)
        return True

    @asynccontextmanager
    async def _hand(self) -> AsyncIterator[str]:
        """A container that never runs: through it, files are put into volumes and taken out."""
        mounts = [
            *(self._mount(volume, f"{_ROOM}/{volume.rpartition('-')[2]}") for volume in self._volumes),
            self._mount(self._programs.volume, f"{_ROOM}/programs"),
        ]
        recipe = {"Image": self._settings.image, "Entrypoint": ["true"], "HostConfig": {"Mounts": mounts}}
        hand = await self._engine.create(None, recipe, self._labels)
        try:
            yield hand
        finally:
            await asyncio.shield(self._engine.remove(hand))

    async def _put_executor(self, hand: str) -> None:
        name = self._programs.path.name
        there = await self._engine.get(hand, f"{_ROOM}/programs/{name}", _JOURNAL_LIMIT)
        content = await self._locally(self._programs.path.read_bytes)
        if there is None or unpacked(there) != content:
            await self._engine.put(hand, f"{_ROOM}/programs", packed((0, 0), {name: content}, mode=0o444))

    async def _connected(self, term: int | None) -> ExecutorConnection | None:
        secret = await self._locally(self._read, SECRET)
        with contextlib.suppress(RuntimeUnavailable):  # an engine that is gone tells nothing; its containers go on
            self._port = await self._engine.port(self._name, PORT)
        if self._port is None or secret is None:
            return None
        return await connect_port(
            self._engine.host or "", self._port, secret=secret, term=term, seconds=self._settings.answer_within
        )

    async def _query(self, query: Query) -> Printed:
        link = await self.connect(await self.term())
        if link is None:
            raise RuntimeUnavailable("no executor can be reached")
        try:
            return printed(await link.call("query", query_message(query, environment={})))
        except ConnectionLost:
            raise RuntimeUnavailable("the executor has ended") from None
        finally:
            await link.close()

    def _mount(self, volume: str, target: str) -> dict[str, Any]:
        options = {"NoCopy": True, "Labels": self._labels}
        return {"Type": "volume", "Source": volume, "Target": target, "VolumeOptions": options}

    def _file(self, name: str) -> Path:
        return self.paths.folder / name

    def _write(self, name: str, text: str) -> None:
        whole = self._file(f"{name}.new")
        whole.touch(_PRIVATE)
        whole.write_text(text)
        whole.rename(self._file(name))

    def _read(self, name: str) -> str | None:
        try:
            return self._file(name).read_text()
        except FileNotFoundError:
            return None

    async def _locally(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await self._limiter.run(function, *args, **kwargs)
        except OSError as error:
            raise RuntimeUnavailable(f"the sandbox's folder cannot be used: {error.strerror}") from error


def executor_volume(instance: str, name: str) -> str:
    return f"openhands-sessions-{instance}-program-{name}"


def _published(host: str) -> str:
    """The address of the engine's machine under which ports are published: the one by which the engine is reached,
    where that is known; else all."""
    try:
        return str(ip_address(host))
    except ValueError:
        return ""


def _looked_up(archive: bytes, key: str) -> Outcome | UnknownAction | Lost | None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / journal.NAME).write_bytes(unpacked(archive))
        return journal.recorded_outcome(Path(folder), key)
