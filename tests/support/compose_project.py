"""The project's docker-compose.yml, run in a folder of its own."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from openhands_sessions.adapters.runtimes.docker.container_spec import SANDBOX_USER
from tests.support.docker_engine import Engine
from tests.support.docker_sandboxes import PLAIN, docker_runtimes
from tests.support.docker_server import ROOT, server_image
from tests.support.system_packages import install, plain_environment

HEALTHY_WITHIN = 60.0
_SECONDS = 60.0
_LOOK_AGAIN = 0.1


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


class ComposeProject:
    """One folder with the file and its .env, and what was started by them. `words` is how Compose is called."""

    def __init__(self, folder: Path, engine: Engine, words: Sequence[str]) -> None:
        self.data = folder / "data"
        self._folder = folder
        self._engine = engine
        self._words = words
        shutil.copy(ROOT / "docker-compose.yml", folder)
        self.data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(self.data, SANDBOX_USER, SANDBOX_USER)

    def configure(self, **settings: str) -> None:
        """Write .env: what an operator says, and what this machine has under other names than usual."""
        socket = Path(self._engine.address.removeprefix("unix://"))
        user = f"{os.geteuid()}:{os.getegid()}" if os.geteuid() else f"{SANDBOX_USER}:{SANDBOX_USER}"
        values = {
            "DATA_DIR": str(self.data),
            "DOCKER_SOCKET": str(socket),
            "DOCKER_GID": str(socket.stat().st_gid),
            "SERVER_USER": user,
            "PUBLISH": "127.0.0.1:",  # any free port: whoever tests at the same time has one too
            **settings,
        }
        (self._folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in values.items()))

    async def run(self, *words: str, typed: str = "") -> Done:
        """Call Compose, to the end."""
        process = await asyncio.create_subprocess_exec(
            *self._words,
            *words,
            cwd=self._folder,
            env=plain_environment() | {"DOCKER_HOST": self._engine.address},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(_SECONDS):
            out, err = await process.communicate(typed.encode())
        return Done(process.returncode or 0, out.decode(), err.decode())

    async def program(self, *words: str, typed: str = "") -> str:
        """What our program prints in the server's container."""
        done = await self.run("exec", "-T", "server", "openhands-sessions", *words, typed=typed)
        assert done.code == 0, done.err
        return done.out

    async def container(self) -> dict[str, Any]:
        """The server's, as the engine describes it."""
        done = await self.run("ps", "--all", "--quiet", "server")
        with closing(self._engine.client()) as client:
            described: dict[str, Any] = client.api.inspect_container(done.out.strip())
        return described

    async def up(self) -> None:
        """Returns when its health check says that it is well."""
        done = await self.run("up", "--detach", "--no-build")
        assert done.code == 0, done.err
        await asyncio.to_thread(self._wait_until_healthy, (await self.container())["Id"])

    def _wait_until_healthy(self, container: str) -> None:
        until = time.monotonic() + HEALTHY_WITHIN
        with closing(self._engine.client()) as client:
            while (state := client.api.inspect_container(container)["State"])["Health"]["Status"] != "healthy":
                assert time.monotonic() < until, state
                time.sleep(_LOOK_AGAIN)


@asynccontextmanager
async def compose_project(folder: Path, engine: Engine) -> AsyncIterator[ComposeProject]:
    """Not started yet; nothing is left of it, nor of its sandboxes. Raises Missing."""
    there = ComposeProject(folder, engine, await asyncio.to_thread(_words))
    there.configure(
        SERVER_IMAGE=await asyncio.to_thread(server_image, engine),
        OHS_DOCKER__IMAGE=engine.base,
        OHS_DOCKER__FIREWALL_IMAGE=engine.base,
    )
    try:
        yield there
    finally:
        with contextlib.suppress(FileNotFoundError):
            there.configure()
            await there.run("down", "--volumes")
        sandboxes = there.data / "runtimes" / "docker"
        async with docker_runtimes(engine, sandboxes, replace(PLAIN, network="egress")):
            pass  # whose end clears them away


def _words() -> Sequence[str]:
    """The plugin, or the older program of the same name. Raises Missing."""
    with contextlib.suppress(OSError):
        if subprocess.run(["docker", "compose", "version"], check=False, capture_output=True).returncode == 0:
            return ("docker", "compose")
    install({"docker-compose": "docker-compose"})
    return ("docker-compose",)
