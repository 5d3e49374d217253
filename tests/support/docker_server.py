"""The image of the server itself, built for tests from what a build of it is sent, with wheels that lie beside it."""

import contextlib
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

import docker
from docker.errors import APIError, ImageNotFound
from docker.utils.build import exclude_paths

from tests.support.docker_engine import Engine
from tests.support.system_packages import CACHE, locked, plain_environment

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements.lock"
NAME = "openhands-sessions-server"
DOCKERFILE = "runtime_images/server/Dockerfile"
WHEELS = "runtime_images/server/wheels"


def server_image(engine: Engine) -> str:
    """Its tag, which tells one state of the sources from another. The first build takes two minutes, one after a change
    of ours some seconds, for the engine keeps the steps before it."""
    tag = f"{NAME}:{_digest(engine.debian)}"
    with locked(CACHE / "building"), contextlib.closing(engine.client()) as client:
        try:
            client.images.get(tag)
        except ImageNotFound:
            with _packed(_wheels()) as context:
                client.images.build(
                    fileobj=context,
                    custom_context=True,
                    dockerfile=DOCKERFILE,
                    tag=tag,
                    buildargs={"BASE": engine.debian},
                    rm=True,
                )
                _forget_old(client)
    return tag


def _forget_old(client: docker.DockerClient) -> None:
    """Images of yesterday's sources; the steps of a build that the next one begins with stay."""
    for image in client.images.list(NAME):
        if datetime.fromisoformat(image.attrs["Created"][:19] + "+00:00") < datetime.now(UTC) - timedelta(days=1):
            for tag in image.tags:
                with contextlib.suppress(APIError):
                    client.images.remove(tag, noprune=True)


def sent() -> list[str]:
    """The files that go to the engine with a build, as .dockerignore has it."""
    patterns = (ROOT / ".dockerignore").read_text().splitlines()
    kept = exclude_paths(str(ROOT), [line for line in patterns if line and not line.startswith("#")])
    return sorted(name for name in kept if (ROOT / name).is_file() and not name.endswith(".whl"))


def _wheels() -> Path:
    """The folder with what the lock names; fetched once for each lock."""
    folder = CACHE / f"wheels-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"
    if not folder.exists():
        unfinished = folder.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        words = ("--require-hashes", "--only-binary", ":all:", "--requirement", LOCK, "--dest", unfinished)
        subprocess.run([sys.executable, "-m", "pip", "-qq", "download", *words], env=plain_environment(), check=True)
        unfinished.rename(folder)
    return folder


@contextlib.contextmanager
def _packed(wheels: Path) -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            for name in sent():
                archive.add(ROOT / name, name)
            for wheel in sorted(wheels.iterdir()):
                archive.add(wheel, f"{WHEELS}/{wheel.name}")
        file.seek(0)
        yield file


def _digest(base: str) -> str:
    digest = hashlib.sha256(base.encode())
    for name in sent():
        digest.update(name.encode() + b"\0" + (ROOT / name).read_bytes())
    return digest.hexdigest()[:12]
