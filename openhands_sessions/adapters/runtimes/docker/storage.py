"""Where the files of one conversation's container lie, and how its executor is reached: one class per topology."""

import hashlib
import os
import tempfile
import zipapp
from pathlib import Path
from typing import Protocol

from openhands_sessions.adapters.runtimes.docker.container_spec import MountSpec, bind_mounts
from openhands_sessions.adapters.runtimes.docker.size_guard import Measure, folder_size
from openhands_sessions.adapters.runtimes.executor_client.connection import ExecutorConnection
from openhands_sessions.adapters.runtimes.local.paths import SandboxPaths
from openhands_sessions.adapters.runtimes.local.runtimes import EXECUTOR
from openhands_sessions.adapters.runtimes.local.storage import FolderStorage
from openhands_sessions.adapters.runtimes.threads import ThreadLimiter
from openhands_sessions.ports.runtime import Lost, Outcome, UnknownAction


class SandboxStorage(Protocol):
    """All methods may raise RuntimeUnavailable."""

    paths: SandboxPaths
    mounts: MountSpec
    size: Measure
    """Bytes that the sandbox has written in all."""

    async def prepare(self) -> None:
        """Create the folders of this machine."""

    async def prepare_mounts(self) -> None:
        """Create what the container mounts; before the container is created."""

    async def set_secret(self, container: str) -> None:
        """Give the container a new secret that clients of its executor need; before each start."""

    async def connect(self, term: int) -> ExecutorConnection | None:
        """Connect to the executor as the owner; None where none listens."""

    async def listens(self) -> bool:
        """Whether something accepts connections; also a stopped process, which does not answer."""

    async def is_responsive(self) -> bool:
        """Whether an executor can be reached that answers in time."""

    async def kill(self) -> None:
        """End an executor that runs though the engine knows no container for it: a daemon that is killed while it
        starts one forgets it."""

    async def term(self) -> int:
        """The highest owner's term that was written, -1 for none."""

    async def claim(self, term: int) -> None:
        """Write the owner's term: an executor that an older owner is starting refuses him then."""

    async def recorded_outcome(self, key: str) -> Outcome | UnknownAction | Lost | None:
        """What the journal says of an action; None where there is no journal."""

    async def delete(self, *, keep_journal: bool = False) -> bool:
        """Delete all of it, or all but the journal and the term; False where an executor runs."""


class BindMountStorage(FolderStorage):
    """Folders of this machine, mounted into the container; the executor listens on a socket in one of them."""

    def __init__(self, paths: SandboxPaths, executor: Path, limiter: ThreadLimiter, *, answer_within: float) -> None:
        super().__init__(paths, limiter, answer_within=answer_within, folders=(paths.home,))
        self.mounts = bind_mounts(paths, executor)
        self.size = folder_size(paths.folder)

    async def prepare_mounts(self) -> None:
        """Nothing: `prepare` has created the folders."""

    async def set_secret(self, container: str) -> None:
        """Nothing: the socket's mode decides who can connect."""


def executor_archive(folder: Path) -> Path:
    """The executor as one file, which any image with Python runs; written where it is missing. Its name is a digest of
    its content: containers of an earlier server may still run another version. Raises OSError."""
    digest = hashlib.sha256()
    for path in sorted(EXECUTOR.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    archive = folder / f"executor-{digest.hexdigest()[:16]}.pyz"
    if not archive.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=".executor-")
        with os.fdopen(descriptor, "wb") as file:
            zipapp.create_archive(EXECUTOR, file, filter=lambda path: path.suffix == ".py")
            os.fchmod(descriptor, 0o644)  # the sandbox runs under another user
        Path(name).rename(archive)
    return archive
