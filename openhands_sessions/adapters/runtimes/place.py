"""Where one conversation's sandbox lies on this machine, and what is read and written there without its executor."""

import contextlib
import fcntl
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

TERM = "term"


@dataclass(frozen=True, slots=True)
class Place:
    """A folder with the workspace and the executor's state in it."""

    folder: Path

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def socket(self) -> Path:
        return self.state / "executor.sock"

    def make(self) -> None:
        """Raises OSError."""
        for folder in (self.folder, self.workspace, self.state):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
                raise PermissionError(13, os.strerror(13))

    def raise_term(self, term: int) -> None:
        """Write down that an owner of this term has come; never lowers what is there. Raises OSError."""
        path = self.state / TERM
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the executor takes it too
            with contextlib.suppress(FileNotFoundError, ValueError):
                if int(path.read_text()) >= term:
                    return
            temporary = path.with_suffix(".new")
            with temporary.open("w") as file:
                file.write(str(term))
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(path)

    def delete(self) -> None:
        """Delete all of it, folders that a command made unreadable too. Raises OSError."""
        for _, names, _, parent in os.fwalk(self.folder):
            for name in names:
                with contextlib.suppress(NotADirectoryError):  # a link to a folder
                    folder = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY, dir_fd=parent)
                    Path(f"/proc/self/fd/{folder}").chmod(0o700)
                    os.close(folder)
        shutil.rmtree(self.folder)
