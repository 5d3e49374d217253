"""Kills the server, the executor, the container or the Docker daemon of a test, and starts again what does not start
by itself."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from random import Random

from docker.errors import APIError

from openhands_sessions.adapters.runtimes.executor_client.connection import listener_pid
from openhands_sessions.adapters.runtimes.local.paths import SandboxPaths
from tests.support.docker_mortal import MortalEngine
from tests.support.ordeal import Talk
from tests.support.running import Server
from tests.support.wire import Cut

VICTIMS = ("server", "executor", "container", "removal", "daemon")
TOGETHER = (("daemon", "server"), ("container", "server"), ("executor", "server"), ("removal", "daemon"))
"""Victims that die at once, in this order; only the first may have to be waited for."""
COMMAND = 0.5
"""About how many seconds a command takes, its way to the sandbox included."""
_DOWN = 0.7
"""Seconds that a daemon stays down at most."""
_THERE_WITHIN = 60.0
_LOOK_AGAIN = 0.01
"""Seconds between two looks for what comes by itself: nothing tells of it."""


@dataclass(frozen=True)
class Kill:
    """So many seconds after a command has been given in the talk of this number, these die."""

    talk: int
    moment: float
    victims: tuple[str, ...]
    down: float


def planned(rng: Random, count: int, talks: int) -> list[Kill]:
    """So many deaths, each victim about as often as the others."""
    kills: list[Kill] = []
    while (left := count - sum(len(kill.victims) for kill in kills)) > 0:
        victims = rng.choice(TOGETHER) if left > 1 and rng.random() < 0.2 else (rng.choice(VICTIMS),)
        kills.append(Kill(rng.randrange(talks), rng.uniform(0, COMMAND), victims, rng.uniform(0, _DOWN)))
    return kills


class Killer:
    """Carries out kills one after another. `calm` is cleared from a death to the end of its repair."""

    def __init__(self, server: Server, mortal: MortalEngine, talks: list[Talk], calm: asyncio.Event) -> None:
        self._server = server
        self._mortal = mortal
        self._talks = talks
        self._calm = calm

    async def kill(self, kill: Kill) -> None:
        talk = self._talks[kill.talk]
        await self._at_work(talk)
        await asyncio.sleep(kill.moment)
        for victim in kill.victims:
            if victim in ("server", "daemon"):  # whereas a sandbox may yet have to be made, which takes calm
                self._calm.clear()
            await self._end(victim, talk)
        if "server" in kill.victims:
            await self._server.start()
        if "daemon" in kill.victims:
            await asyncio.sleep(kill.down)
            await asyncio.to_thread(self._mortal.daemon.revive)
        self._calm.set()

    async def _at_work(self, talk: Talk) -> None:
        while True:
            with contextlib.suppress(Cut):
                return await talk.client.until(lambda: talk.at_work)
            await asyncio.sleep(_LOOK_AGAIN)

    async def _end(self, victim: str, talk: Talk) -> None:
        match victim:
            case "server":
                await self._server.killed()
            case "daemon":
                await asyncio.to_thread(self._mortal.daemon.kill)
            case "executor":
                await self._once_there(partial(_end_executor, talk.place))
            case _:
                end = partial(_end_container, self._mortal, talk.place, remove=victim == "removal")
                await self._once_there(partial(asyncio.to_thread, end))

    async def _once_there(self, end: Callable[[], Awaitable[bool]]) -> None:
        """A sandbox may just be on its way."""
        async with asyncio.timeout(_THERE_WITHIN):
            while True:
                if await end():
                    return
                await asyncio.sleep(_LOOK_AGAIN)


async def _end_executor(place: SandboxPaths) -> bool:
    pid = await listener_pid(place.socket)
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
    return pid is not None


def _end_container(mortal: MortalEngine, place: SandboxPaths, *, remove: bool) -> bool:
    with contextlib.closing(mortal.engine.client()) as client:
        for container in client.containers.list(filters={"name": place.folder.name}):
            with contextlib.suppress(APIError):  # it has ended meanwhile, or begins only now
                container.remove(force=True) if remove else container.kill()
                return True
    return False
