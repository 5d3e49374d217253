"""Whether Docker sandboxes can be had as they are configured: by making one."""

import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from openhands_sessions.adapters.runtimes.docker.container_spec import INSTANCE
from openhands_sessions.adapters.runtimes.docker.context import make_context
from openhands_sessions.adapters.runtimes.docker.engine import DockerEngine
from openhands_sessions.adapters.runtimes.docker.errors import NO_IMAGE, NO_RUNTIME
from openhands_sessions.adapters.runtimes.docker.factory import START_SECONDS, ContainerFactory, DockerContext
from openhands_sessions.adapters.runtimes.docker.networks import SandboxNetwork
from openhands_sessions.adapters.runtimes.docker.settings import DockerSettings
from openhands_sessions.adapters.runtimes.local.paths import SandboxPaths
from openhands_sessions.adapters.runtimes.local.untrusted_tree import remove_untrusted_tree
from openhands_sessions.adapters.runtimes.threads import ThreadLimiter
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.ports.sandboxes import Check

_PREFIX = "probe-"


async def check_docker(root: Path, settings: DockerSettings, *, address: str | None) -> list[Check]:
    """What was looked at, up to the first thing that keeps sandboxes from being made. Of what is made for it nothing is
    left. Raises OSError where the folder cannot be used."""
    limiter, engine, mark = ThreadLimiter(1), DockerEngine(address), secrets.token_hex(8)
    paths = SandboxPaths(root / f"{_PREFIX}{mark}", settings.owner)
    try:
        context = await make_context(root, replace(settings, pull=False), engine, limiter, mark)
        return [looked async for looked in _looks(context, paths, fetched=settings.pull)]
    finally:
        with contextlib.suppress(RuntimeUnavailable):
            for container in await engine.list(f"{INSTANCE}={mark}"):
                await engine.remove(container.id)
            await SandboxNetwork(engine, settings, mark).remove()
            for volume in await engine.volumes(f"{INSTANCE}={mark}"):
                await engine.remove_volume(volume)
        if paths.folder.exists():
            await limiter.run(remove_untrusted_tree, paths.folder)
        await engine.close()


async def _looks(context: DockerContext, paths: SandboxPaths, *, fetched: bool) -> AsyncIterator[Check]:
    try:
        yield Check(name="docker", found=f"version {await context.engine.version()}")
    except RuntimeUnavailable as error:
        yield Check(name="docker", found="no answer", problem=error.message)
        return
    settings = context.settings
    if settings.runtime is not None:
        there = await context.engine.runtimes()
        yield Check(name="runtime", found=", ".join(there), problem="" if settings.runtime in there else NO_RUNTIME)
        if settings.runtime not in there:
            return
    if not await context.engine.has_image(settings.image):
        problem = f"{settings.image} is fetched when it is first needed" if fetched else NO_IMAGE
        yield Check(name="image", found="not there", problem=problem, vital=not fetched)
        return
    yield Check(name="image", found=settings.image)
    yield await _network(context)
    yield await _sandbox(context, paths)


async def _network(context: DockerContext) -> Check:
    told: list[str] = []
    try:
        await context.networks.ready(told.append)
    except RuntimeUnavailable as error:
        return Check(name="network", found=context.settings.network, problem=error.message)
    return Check(name="network", found="none" if told else context.settings.network, problem="".join(told), vital=False)


async def _sandbox(context: DockerContext, paths: SandboxPaths) -> Check:
    """Make one and reach it: the engine must see the same folders."""
    factory, began = ContainerFactory(context), time.monotonic()
    try:
        name = f"openhands-sessions-{context.instance}"
        storage = context.storage_of(paths, name)
        await storage.prepare()
        spec = await factory.spec(storage, _untold)
        container = await factory.start(storage, name, spec, {INSTANCE: context.instance}, _untold)
        if not await factory.answers(storage, container, START_SECONDS):
            raise await factory.no_answer(container)
    except RuntimeUnavailable as error:
        return Check(name="sandbox", found="could not be made", problem=error.message)
    return Check(name="sandbox", found=f"made in {round(1000 * (time.monotonic() - began))} ms")


def _untold(status: str, words: str) -> None:
    """Nobody waits for it."""
