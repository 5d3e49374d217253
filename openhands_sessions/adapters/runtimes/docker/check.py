"""Checks that Docker sandboxes work as they are configured, by creating one."""

import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from openhands_sessions.adapters.runtimes.docker.container_spec import INSTANCE, PROBE_PREFIX, DockerSettings
from openhands_sessions.adapters.runtimes.docker.engine import DockerEngine
from openhands_sessions.adapters.runtimes.docker.errors import NO_IMAGE, NO_RUNTIME
from openhands_sessions.adapters.runtimes.docker.factory import ContainerFactory, DockerContext, make_context
from openhands_sessions.adapters.runtimes.docker.network import SandboxNetwork
from openhands_sessions.adapters.runtimes.local.paths import SandboxPaths, remove_untrusted_tree
from openhands_sessions.adapters.runtimes.threads import ThreadLimiter
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.ports.sandboxes import Check


async def check_docker(root: Path, settings: DockerSettings, *, address: str | None) -> list[Check]:
    """The checks, up to the first that fails and is vital. Removes all that it creates. Raises OSError where the folder
    cannot be used."""
    limiter, engine, mark = ThreadLimiter(1), DockerEngine(address), secrets.token_hex(8)
    paths = SandboxPaths(root / f"{PROBE_PREFIX}{mark}", settings.owner)
    try:
        context = await make_context(root, replace(settings, pull=False), engine, limiter, mark)
        return [check async for check in _checks(context, paths, pull=settings.pull)]
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


async def _checks(context: DockerContext, paths: SandboxPaths, *, pull: bool) -> AsyncIterator[Check]:
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
        problem = f"{settings.image} is fetched when it is first needed" if pull else NO_IMAGE
        yield Check(name="image", found="not there", problem=problem, vital=not pull)
        return
    yield Check(name="image", found=settings.image)
    yield await _check_network(context)
    yield await _check_sandbox(context, paths)


async def _check_network(context: DockerContext) -> Check:
    problems: list[str] = []
    network = context.settings.network
    try:
        await context.network.ready(problems.append)
    except RuntimeUnavailable as error:
        return Check(name="network", found=network, problem=error.message)
    return Check(name="network", found="none" if problems else network, problem="".join(problems), vital=False)


async def _check_sandbox(context: DockerContext, paths: SandboxPaths) -> Check:
    """Create a container and connect to it: the engine must see the same folders."""
    began = time.monotonic()
    try:
        name = f"openhands-sessions-{context.instance}"
        storage = context.storage(paths, name)
        await storage.prepare()
        await ContainerFactory(context).run(storage, name, {INSTANCE: context.instance}, lambda *step: None)
    except RuntimeUnavailable as error:
        return Check(name="sandbox", found="could not be made", problem=error.message)
    return Check(name="sandbox", found=f"made in {round(1000 * (time.monotonic() - began))} ms")
