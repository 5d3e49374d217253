"""Sandboxes of an engine on this machine: their files lie in folders of it, which their containers mount."""

import hashlib
import os
import tempfile
import zipapp
from pathlib import Path

from openhands_sessions.adapters.runtimes.docker.container_spec import bind_mounts
from openhands_sessions.adapters.runtimes.docker.size_guard import folder_size
from openhands_sessions.adapters.runtimes.local.paths import SandboxPaths
from openhands_sessions.adapters.runtimes.local.runtimes import EXECUTOR
from openhands_sessions.adapters.runtimes.local.storage import FolderStorage
from openhands_sessions.adapters.runtimes.threads import ThreadLimiter


class BindMountStorage(FolderStorage):
    """Folders of this machine, mounted into the container; the executor listens on a socket in one of them."""

    def __init__(self, paths: SandboxPaths, executor: Path, limiter: ThreadLimiter, *, answer_within: float) -> None:
        super().__init__(paths, limiter, answer_within=answer_within, folders=(paths.home,))
        self.mounts = bind_mounts(paths, executor)
        self.size = folder_size(paths.folder)
        """Bytes that the sandbox has written in all."""

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
