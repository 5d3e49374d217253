"""Whether Docker sandboxes can be had as they are configured: by making one."""

import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from openhands_sessions.adapters.runtimes.demolition import demolish
from openhands_sessions.adapters.runtimes.docker_container import INSTANCE
from openhands_sessions.adapters.runtimes.docker_engine import Engine
from openhands_sessions.adapters.runtimes.docker_maker import START_SECONDS, Maker, Site
from openhands_sessions.adapters.runtimes.docker_network import Networks
from openhands_sessions.adapters.runtimes.docker_refusals import NO_IMAGE, NO_RUNTIME
from openhands_sessions.adapters.runtimes.docker_settings import DockerSettings
from openhands_sessions.adapters.runtimes.docker_site import make_site
from openhands_sessions.adapters.runtimes.limiter import Limiter
from openhands_sessions.adapters.runtimes.place import Place
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.ports.sandboxes import Looked

_PREFIX = "probe-"


async def probe_docker(root: Path, settings: DockerSettings, *, address: str | None) -> list[Looked]:
    """What was looked at, up to the first thing that keeps sandboxes from being made. Of what is made for it nothing is
    left. Raises OSError where the folder cannot be used."""
    limiter, engine, mark = Limiter(1), Engine(address), secrets.token_hex(8)
    place = Place(root / f"{_PREFIX}{mark}", settings.owner)
    try:
        site = await make_site(root, replace(settings, pull=False), engine, limiter, mark)
        return [looked async for looked in _looks(site, place, fetched=settings.pull)]
    finally:
        with contextlib.suppress(RuntimeUnavailable):
            for container in await engine.list(f"{INSTANCE}={mark}"):
                await engine.remove(container.id)
            await Networks(engine, settings, mark).remove()
            for volume in await engine.volumes(f"{INSTANCE}={mark}"):
                await engine.remove_volume(volume)
        if place.folder.exists():
            await limiter.run(demolish, place.folder)
        await engine.close()


async def _looks(site: Site, place: Place, *, fetched: bool) -> AsyncIterator[Looked]:
    try:
        yield Looked(name="docker", found=f"version {await site.engine.version()}")
    except RuntimeUnavailable as error:
        yield Looked(name="docker", found="no answer", problem=error.message)
        return
    settings = site.settings
    if settings.runtime is not None:
        there = await site.engine.runtimes()
        yield Looked(name="runtime", found=", ".join(there), problem="" if settings.runtime in there else NO_RUNTIME)
        if settings.runtime not in there:
            return
    if not await site.engine.has_image(settings.image):
        problem = f"{settings.image} is fetched when it is first needed" if fetched else NO_IMAGE
        yield Looked(name="image", found="not there", problem=problem, vital=not fetched)
        return
    yield Looked(name="image", found=settings.image)
    yield await _network(site)
    yield await _sandbox(site, place)


async def _network(site: Site) -> Looked:
    told: list[str] = []
    try:
        await site.networks.ready(told.append)
    except RuntimeUnavailable as error:
        return Looked(name="network", found=site.settings.network, problem=error.message)
    return Looked(name="network", found="none" if told else site.settings.network, problem="".join(told), vital=False)


async def _sandbox(site: Site, place: Place) -> Looked:
    """Make one and reach it: the engine must see the same folders."""
    maker, began = Maker(site), time.monotonic()
    try:
        name = f"openhands-sessions-{site.instance}"
        ground = site.grounds(place, name)
        await ground.prepare()
        wanted = await maker.wanted(ground, _untold)
        container = await maker.start(ground, name, wanted, {INSTANCE: site.instance}, _untold)
        if not await maker.answers(ground, container, START_SECONDS):
            raise await maker.no_answer(container)
    except RuntimeUnavailable as error:
        return Looked(name="sandbox", found="could not be made", problem=error.message)
    return Looked(name="sandbox", found=f"made in {round(1000 * (time.monotonic() - began))} ms")


def _untold(status: str, words: str) -> None:
    """Nobody waits for it."""
