"""Sandboxes that are containers of a Docker engine."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from openhands_sessions.adapters.runtimes.docker_box import Box
from openhands_sessions.adapters.runtimes.docker_container import INSTANCE
from openhands_sessions.adapters.runtimes.docker_engine import Engine
from openhands_sessions.adapters.runtimes.docker_ladder import Ladder
from openhands_sessions.adapters.runtimes.docker_maker import Site
from openhands_sessions.adapters.runtimes.docker_pool import Pool
from openhands_sessions.adapters.runtimes.docker_reaper import Knows, Reaper
from openhands_sessions.adapters.runtimes.docker_runtime import DockerReach, DockerRuntime
from openhands_sessions.adapters.runtimes.docker_settings import DockerSettings
from openhands_sessions.adapters.runtimes.docker_site import make_site
from openhands_sessions.adapters.runtimes.docker_volumes import executor_volume
from openhands_sessions.adapters.runtimes.executor_runtime import ExecutorRuntime
from openhands_sessions.adapters.runtimes.files import FolderFiles
from openhands_sessions.adapters.runtimes.limiter import Limiter
from openhands_sessions.adapters.runtimes.place import Place
from openhands_sessions.adapters.runtimes.size_guard import SizeGuard
from openhands_sessions.adapters.runtimes.witness import Witness
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.core.ids import ConversationId, folder_name
from openhands_sessions.executor.workspace import Workspace
from openhands_sessions.ports.runtime import Runtime, RuntimeSpec
from openhands_sessions.ports.sandboxes import Standing

IPYTHON_LABEL = "openhands-sessions.ipython"
_THREADS = 8
_LOOKS = 2
"""How many sandboxes are measured at once."""
_FIRST, _PERIOD = 2.0, 300.0
"""Seconds to the first look, which a short-lived command of the same data folder leaves to the server; and between
looks."""
_INSTANCE = "instance"


async def _knows_all(sid: ConversationId) -> bool:
    return True


@contextlib.asynccontextmanager
async def open_docker(
    root: Path, settings: DockerSettings, *, address: str | None = None, knows: Knows = _knows_all
) -> AsyncIterator["DockerRuntimes"]:
    """The sandboxes below a folder. The end of the block leaves them: paused, where they are not at work. The engine
    may come later. Raises OSError."""
    limiter = Limiter(_THREADS)
    instance = await limiter.run(_instance, root)
    engine = Engine(address)
    runtimes = DockerRuntimes(root, await make_site(root, settings, engine, limiter, instance), knows)
    keeping = asyncio.create_task(runtimes.keep(), name="sandbox keeper")
    try:
        yield runtimes
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
        await runtimes.close()
        await engine.close()


class DockerRuntimes:
    """One container per conversation that needs one, and one folder below `root` per conversation."""

    isolated = True

    def __init__(self, root: Path, site: Site, knows: Knows) -> None:
        self.instance = site.instance
        self._root = root
        self._site = site
        self._near = site.engine.host is None
        self._boxes: dict[ConversationId, Box] = {}
        self._looking = asyncio.Semaphore(_LOOKS)
        self._pool = Pool(site, root, site.settings.warm if self._near else 0)  # folders are moved, volumes cannot be
        self._reaper = Reaper(site, root, self.box, knows)

    @contextlib.asynccontextmanager
    async def open(self, spec: RuntimeSpec) -> AsyncIterator[Runtime]:
        await self._site.engine.ping()
        self._site.networks.prepare()
        box = self.box(spec.sid)
        inner = ExecutorRuntime(
            spec,
            DockerReach(box, spec),
            FolderFiles(Workspace(box.place.workspace, owner=box.place.owner), self._site.limiter)
            if self._near
            else None,
            Witness(box.place, self._site.limiter),
            command_timeout=self._site.settings.command_timeout,
            output_limit=self._site.settings.output_head + self._site.settings.output_tail,
            awake=lambda: box.used(spec.on_step),
        )
        try:
            async with box.open():
                yield DockerRuntime(inner, box, spec.on_step)
        finally:
            self._forget(box)
            await inner.close()

    async def has_ipython(self) -> bool:
        """As the image says of itself: to look would take a container."""
        try:
            return (await self._site.engine.labels_of(self._site.settings.image)).get(IPYTHON_LABEL) == "true"
        except RuntimeUnavailable:
            return False

    async def discard(self, sid: ConversationId) -> None:
        box = self.box(sid)
        try:
            await box.discard()
        finally:
            self._forget(box)

    async def survey(self) -> Sequence[Standing]:
        return await self._reaper.survey()

    async def reap(self) -> Sequence[Standing]:
        return await self._reaper.reap()

    async def keep(self) -> None:
        """See now and then to what waits for conversations, and to what nobody needs; until cancelled."""
        await asyncio.sleep(_FIRST)
        while True:
            self._pool.open()
            await self._reaper.look()
            await self._site.networks.renew()
            await asyncio.sleep(_PERIOD)

    async def warm_up(self) -> None:
        """Have as many containers wait for conversations as are to. Raises RuntimeUnavailable, OSError."""
        await self._pool.fill()

    def box(self, sid: ConversationId) -> Box:
        """The box of a conversation, which has one from its first mention."""
        box = self._boxes.get(sid)
        if box is None:
            place = Place(self._root / folder_name(sid), self._site.settings.owner)
            ladder = Ladder(self._site, self._pool, sid, place)
            guard = SizeGuard(
                ladder.ground.size,
                self._site.settings.workspace_size,
                self._looking,
                look_every=self._site.settings.look_every,
            )
            box = self._boxes[sid] = Box(self._site, sid, ladder, guard, self._forget)
        return box

    async def clear(self) -> Sequence[Standing]:
        await self._pool.close()
        standings = await self._reaper.survey()
        for standing in standings:
            await self._site.engine.remove(standing.name)
        for volume in await self._site.engine.volumes(f"{INSTANCE}={self.instance}"):
            if volume.startswith(executor_volume(self.instance, "")):
                await self._site.engine.remove_volume(volume)
        await self._site.networks.remove()
        return standings

    async def close(self) -> None:
        self._site.engine.stop_pulling()
        await self._site.networks.close()
        await self._pool.close()
        await asyncio.gather(*(box.close() for box in self._boxes.values()))

    def _forget(self, box: Box) -> None:
        if not box.needed and self._boxes.get(box.sid) is box:
            del self._boxes[box.sid]


def _instance(root: Path) -> str:
    """The name by which the containers of this folder are told from those of others. Raises OSError."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = root / _INSTANCE
    if not path.exists():
        whole = path.with_suffix(f".{secrets.token_hex(4)}")
        whole.write_text(secrets.token_hex(8))
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(whole)
        whole.unlink()
    return path.read_text()
