"""Where one conversation's sandbox lies on this machine, and what is read and written there without its executor."""

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TERM = "term"
STARTING, RUNNING = "starting", "running"
"""Files that an executor locks: the first while it starts and ends, the other for as long as it lives."""
_LOOK_AGAIN = 0.01


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

    def delete(self, patience: float) -> bool:
        """Delete all of it, if no executor runs; one that starts or ends is waited for, for at most `patience`
        seconds. One that is launched later finds no folder, and ends. False where one runs. Raises OSError."""
        with self._lock(STARTING, patience) as settled, self._lock(RUNNING, 0) as ended:
            if settled and ended and self.folder.exists():
                self._delete()
            return settled and ended

    @contextlib.contextmanager
    def _lock(self, name: str, patience: float) -> Iterator[bool]:
        """Whether it could be had. What a command has put in the file's place is nobody's lock."""
        try:
            file = os.open(
                self.state / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600
            )
        except OSError:
            yield True
            return
        try:
            yield _locked(file, time.monotonic() + patience)
        finally:
            os.close(file)

    def _delete(self) -> None:
        """Folders that a command made unreadable too."""
        for _, names, _, parent in os.fwalk(self.folder):
            for name in names:
                with contextlib.suppress(NotADirectoryError):  # a link to a folder
                    folder = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY, dir_fd=parent)
                    Path(f"/proc/self/fd/{folder}").chmod(0o700)
                    os.close(folder)
        shutil.rmtree(self.folder)


def _locked(file: int, until: float) -> bool:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(_LOOK_AGAIN)
        else:
            return True
