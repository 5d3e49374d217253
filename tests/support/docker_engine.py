"""A Docker engine for tests: the one that answers on this machine, else one of our own; and the images in it."""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import docker
from docker.errors import ImageNotFound

from tests.support.docker_daemon import Daemon, answers, shared
from tests.support.system_packages import CACHE, Missing, install, locked, may_install, plain_environment

RECIPES = Path(__file__).parents[2] / "runtime_images"
DEBIAN = "debian:bookworm-slim"
USUAL = "unix:///var/run/docker.sock"
_PACKAGES = {"dockerd": "docker.io", "iptables": "iptables", "ip": "iproute2", "nsenter": "util-linux"}
_UNNEEDED = ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale")


class NoEngine(Missing):
    """There is no engine and none can be started."""


@dataclass(frozen=True)
class Engine:
    """An engine that answers at `address`, and reaches this process at `us`; it is itself reached at `there`, by what
    runs in its network namespace, if it has one of its own."""

    address: str
    us: str = "127.0.0.1"
    there: str = "127.0.0.1"
    namespace: Path | None = None

    @cached_property
    def debian(self) -> str:
        """What our images are built upon: Debian, made here from its packages where the engine has none."""
        with locked(CACHE / "building"), contextlib.closing(self.client()) as client:
            try:
                client.images.get(DEBIAN)
            except ImageNotFound:
                if may_install():
                    with _debian_archive().open("rb") as archive:
                        client.api.import_image_from_data(archive, repository="debian", tag="bookworm-slim")
                else:
                    client.images.pull(DEBIAN)
        return DEBIAN

    @cached_property
    def base(self) -> str:
        return self._built("base", BASE=self.debian)

    @cached_property
    def python(self) -> str:
        return self._built("python", BASE=self.base)

    @cached_property
    def node(self) -> str:
        return self._built("node", BASE=self.base)

    def client(self) -> docker.DockerClient:
        return docker.DockerClient(base_url=self.address, timeout=600)

    def _built(self, name: str, **arguments: str) -> str:
        """The tag of an image, which tells one recipe from another, for the engine may be shared by several of them."""
        tag = f"openhands-sessions-{name}:{_digest(RECIPES / name, arguments)}"
        with locked(CACHE / "building"), contextlib.closing(self.client()) as client:
            try:
                client.images.get(tag)
            except ImageNotFound:
                client.images.build(path=str(RECIPES / name), tag=tag, buildargs=arguments, rm=True)
        return tag


@contextlib.contextmanager
def opened() -> Iterator[Engine]:
    """An engine until the end of the block; one that was started for it is stopped then. Raises NoEngine."""
    if sys.platform != "linux":
        raise NoEngine("sandboxes share sockets with their containers, which needs Linux")
    for address in (os.environ.get("DOCKER_HOST", ""), USUAL):
        if address.startswith("unix://") and answers(address):
            yield Engine(address)
            return
    prepare_for_daemon()
    daemon = Daemon(CACHE / "engine")
    with shared(daemon):
        network = daemon.network
        yield Engine(daemon.address, network.outside, network.inside, network.path)


def prepare_for_daemon() -> None:
    """See to it that an engine can be started here. Raises NoEngine."""
    _install(_PACKAGES)


def _install(wanted: Mapping[str, str]) -> None:
    """See to it that these programs are there. Raises NoEngine."""
    if os.geteuid() != 0:
        raise NoEngine("no Docker engine answers, and to start one takes root")
    try:
        install(wanted)
    except Missing as problem:
        raise NoEngine(f"no Docker engine answers, and {problem}") from problem


def _debian_archive() -> Path:
    archive = CACHE / "debian-bookworm-slim.tar"
    if archive.exists():
        return archive
    _install({"debootstrap": "debootstrap"})
    folder = CACHE / "debian"
    shutil.rmtree(folder, ignore_errors=True)
    command = ["debootstrap", "--variant=minbase", "bookworm", str(folder)]
    subprocess.run(command, env=plain_environment(), check=True, stdout=subprocess.DEVNULL)
    for name in _UNNEEDED:
        shutil.rmtree(folder / name)
        (folder / name).mkdir()
    unfinished = archive.with_suffix(".new")
    subprocess.run(["tar", "-C", str(folder), "-cf", str(unfinished), "."], check=True)
    unfinished.rename(archive)
    shutil.rmtree(folder)
    return archive


def _digest(folder: Path, arguments: Mapping[str, str]) -> str:
    digest = hashlib.sha256(repr(sorted(arguments.items())).encode())
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix != ".md":
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]
