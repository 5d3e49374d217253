"""A Docker engine of the tests' own: with a folder, a socket and a network of its own."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import docker
from docker.errors import DockerException, NotFound

from tests.support.docker_netns import PrivateNetwork
from tests.support.system_packages import locked, plain_environment

READY_WITHIN = 60.0
END_WITHIN = 20.0
_LOOK_AGAIN = 0.05
"""Seconds between two knocks at an engine that starts: nothing tells us when it listens but the socket itself."""


class Daemon:
    """One `dockerd`, needing root. It lives in a network namespace, so that none of its bridges and firewall rules is
    this machine's; a link leads out of it, for builds that install packages. What it stores outlives it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"unix://{folder}/docker.sock"
        self.network = PrivateNetwork(folder)

    @property
    def outside(self) -> str:
        """Where it reaches this machine."""
        return self.network.outside

    @property
    def running(self) -> bool:
        return answers(self.address)

    @property
    def pid(self) -> int | None:
        """The process, None where none runs. A number that another program has got meanwhile is not taken for it."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.folder / "pid").read_text())
            if str(self.folder).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return None

    def start(self) -> None:
        """Returns when it answers; nothing where it does already. Raises RuntimeError."""
        if self.running:
            return
        self._clear()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self.folder / "log").unlink(missing_ok=True)
        self.network.make()
        self._launch()

    def kill(self) -> None:
        """End it as a crash does, with its containerd but not with the containers; returns when it has ended."""
        pid = self.pid
        if pid is not None:
            end(pid, signal.SIGKILL)

    def revive(self) -> None:
        """Start it again after `kill`: it ends the containers that it finds running. Raises RuntimeError."""
        for pid in ("pid", "exec/containerd/containerd.pid"):  # a zombie counts as alive
            (self.folder / pid).unlink(missing_ok=True)
        self._launch()

    def stop(self) -> None:
        """Returns when nothing of it is left but what it stores: images."""
        if not self.running and _offspring(self.folder / "exec"):
            self.revive()
        if self.running:
            self.empty()
        self._clear()

    def empty(self) -> None:
        """Remove everything but the images."""
        with contextlib.closing(docker.DockerClient(base_url=self.address)) as client:
            for container in client.containers.list(all=True):
                with contextlib.suppress(NotFound):  # it was just being removed
                    container.remove(force=True, v=True)
            client.networks.prune()
            client.volumes.prune()
        self._end_forgotten()

    def _launch(self) -> None:
        """Returns when it answers."""
        (self.folder / "daemon.json").write_text(json.dumps({"insecure-registries": [self.network.subnet]}))
        options = {
            "--config-file": self.folder / "daemon.json",
            "--data-root": self.folder / "data",
            "--exec-root": self.folder / "exec",
            "--pidfile": self.folder / "pid",
            "--host": self.address,
            "--shutdown-timeout": 2,
        }
        words = [str(word) for option in options.items() for word in option]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                ["nsenter", f"--net={self.network.path}", "dockerd", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=plain_environment(),
            )
        until = time.monotonic() + READY_WITHIN
        while not answers(self.address):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"dockerd did not start; its last words: {self._last_words()}")
            time.sleep(_LOOK_AGAIN)
        process.returncode = 0  # it is found again by its pid file, perhaps by another process

    def _clear(self) -> None:
        """Also removes what a killed one left."""
        pid = self.pid
        if pid is not None:
            end(pid, signal.SIGTERM)
        self._end_forgotten()
        for child in _offspring(self.folder / "exec"):  # outlives a dockerd that was killed
            end(child, signal.SIGKILL)
        for mount in _mounts_below(self.folder):
            subprocess.run(["umount", "--lazy", mount], check=False)
        shutil.rmtree(self.folder / "exec", ignore_errors=True)
        for name in ("pid", "docker.sock"):
            (self.folder / name).unlink(missing_ok=True)
        self.network.remove()

    def _end_forgotten(self) -> None:
        """A daemon that was killed while it started a container knows nothing of it afterwards."""
        for shim in _offspring(self.folder / "exec", b"containerd-shim"):
            for child in _children(shim):
                end(child, signal.SIGKILL)

    def _last_words(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-2000:]


@contextlib.contextmanager
def shared(daemon: Daemon) -> Iterator[None]:
    """Use an engine together with other processes: the first one in starts it, the last one out stops it. One that was
    killed counts as gone; its engine is taken over by the next."""
    daemon.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (daemon.folder / "users").open("w") as users:
        with locked(daemon.folder / "door"):
            daemon.start()
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield
        finally:
            with locked(daemon.folder / "door"):
                fcntl.flock(users, fcntl.LOCK_UN)
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    daemon.stop()


def answers(address: str) -> bool:
    """Whether an engine listens there."""
    with contextlib.suppress(DockerException, OSError):
        with socket.socket(socket.AF_UNIX) as knock:
            knock.connect(address.removeprefix("unix://"))  # the SDK leaves its own open where this fails
        with contextlib.closing(docker.APIClient(base_url=address)) as client:
            return bool(client.ping())
    return False


def end(pid: int, number: signal.Signals) -> None:
    """Signal a process and wait for its end, by force where it takes too long."""
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, number)
        until = time.monotonic() + END_WITHIN
        while _lives(pid):
            if time.monotonic() > until:
                os.kill(pid, signal.SIGKILL)
            time.sleep(_LOOK_AGAIN)


def _lives(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # where it is our own child
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _children(pid: int) -> list[int]:
    found = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += [int(child) for child in (thread / "children").read_text().split()]
    return found


def _offspring(folder: Path, name: bytes = b"containerd") -> list[int]:
    """The containerd that works in this folder, and its shims."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                program, _, arguments = (entry / "cmdline").read_bytes().partition(b"\0")
                if name in program and f"{folder}/".encode() in arguments:
                    found.append(int(entry.name))
    return found


def _mounts_below(folder: Path) -> list[str]:
    """Innermost first."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return [mount for mount in reversed(mounts) if mount.startswith(f"{folder}/")]
