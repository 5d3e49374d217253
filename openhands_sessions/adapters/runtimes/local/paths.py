"""The folder of one conversation's sandbox on this machine: its paths, its locks, and how it is deleted safely."""

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from openhands_sessions.executor.workspace import opened_folder

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_POLL_SECONDS = 0.01


class FileLock:
    """A shared lock on a file beside what the sandbox sees: tells other processes that this one has it open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    @property
    def held(self) -> bool:
        return self._file is not None

    def acquire(self) -> None:
        """Waits while another process is in `exclusive`. Blocking; raises OSError."""
        if self._file is None:
            file = os.open(self._path, _FLAGS, 0o600)
            fcntl.flock(file, fcntl.LOCK_SH)
            self._file = file

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[bool]:
        """Whether no other process holds the lock, nor can acquire it before the end of the block. Afterwards, in rare
        cases, a lock that was held is not held any more."""
        mine = self._file
        try:
            file = os.open(self._path, _FLAGS, 0o600) if mine is None else mine
        except FileNotFoundError:  # there is no folder, so no process can have it open
            yield True
            return
        try:
            yield try_lock(file, fcntl.LOCK_EX)
        finally:
            if mine is None:
                os.close(file)
            elif not try_lock(file, fcntl.LOCK_SH):
                self.release()


def try_lock(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock_within(file: int, seconds: float) -> bool:
    """Whether an exclusive lock could be acquired in time. Blocking: the system has no lock with a timeout."""
    until = time.monotonic() + seconds
    while not try_lock(file, fcntl.LOCK_EX):
        if time.monotonic() >= until:
            return False
        time.sleep(_POLL_SECONDS)
    return True


CONVERSATION = "conversation"
TERM = "term"
STARTING, RUNNING = "starting", "running"
"""Files that an executor locks: the first while it starts and ends, the other for as long as it lives."""
DELETED = ".deleted"
"""Ends the name of a folder that is being deleted."""
_TERM_SECONDS = 2.0
_NUMBER_LIMIT = 32
_NAMES_AT_ONCE = 1000
_FIND_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class SandboxPaths:
    """A folder with the workspace and the executor's state. Commands may change anything below those two: no link is
    followed there, and nothing is waited for without a limit. `owner` is the user and group that the sandbox runs
    under, None for the server's own. All methods block, and may raise OSError."""

    def __init__(self, folder: Path, owner: tuple[int, int] | None = None) -> None:
        self.folder = folder
        self.owner = owner
        self.workspace = folder / "workspace"
        self.state = folder / "state"
        self.socket = self.state / "executor.sock"
        self.home = folder / "home"
        """The home folder, where it is not the workspace."""
        self.undo = self.state / "undo"
        """What edited files held before."""
        self.lock = folder / "open"
        """Locked by processes that have the sandbox open; the sandbox does not see it."""

    def write_conversation(self, conversation: str) -> None:
        """Note whose sandbox this is."""
        (self.folder / CONVERSATION).write_text(conversation)

    def forget_conversation(self) -> None:
        (self.folder / CONVERSATION).unlink(missing_ok=True)

    def read_conversation(self) -> str | None:
        """Whose sandbox this is; None where that is not noted or cannot be read."""
        try:
            return (self.folder / CONVERSATION).read_text()
        except OSError:
            return None

    def create(self, *more: Path) -> None:
        """Create the folder, and in it the workspace, the state and `more`."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.workspace, self.state, *more):
            folder.mkdir(mode=0o700, exist_ok=True)
            if self.owner is not None and folder.stat().st_uid != self.owner[0]:
                os.chown(folder, *self.owner)
        for folder in (self.folder, self.workspace, self.state):
            if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
                raise PermissionError(13, os.strerror(13))

    def term(self) -> int:
        """The highest owner's term that was written, -1 for none."""
        try:
            with self._open(TERM, os.O_RDONLY) as file:
                return int(os.read(file, _NUMBER_LIMIT))
        except (FileNotFoundError, ValueError):
            return -1

    def raise_term(self, term: int) -> None:
        """Write the term of an owner unless a higher one is written."""
        with self._open(f"{TERM}.lock", os.O_RDWR | os.O_CREAT) as lock:
            if not lock_within(lock, _TERM_SECONDS):  # the executor takes it too
                raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
            if self.term() >= term:
                return
            temporary = self.state / f"{TERM}.new"
            temporary.unlink(missing_ok=True)
            with self._open(temporary.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
                os.write(file, str(term).encode())
                os.fsync(file)
            temporary.rename(self.state / TERM)

    def delete(self, seconds: float, *, keep_journal: bool = False) -> bool:
        """Delete the folder, or all of it but the journal and the term, unless an executor runs: False then. One that
        starts or ends is waited for, at most so many seconds; one that starts later finds no folder and ends."""
        with self._locked(STARTING, seconds) as settled, self._locked(RUNNING, 0) as ended:
            if settled and ended:
                gone = () if keep_journal else self._moved_away()
                for folder in (self.workspace, self.home, self.undo) if keep_journal else gone:
                    # A command may have put anything in the place of `undo`.
                    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                        remove_untrusted_tree(folder)
            return settled and ended

    def _moved_away(self) -> Iterator[Path]:
        """The folder under another name, and before it what a deletion that was cut off has left there. An executor
        that starts while the folder is emptied could lock new files in the place of those that are locked here: by the
        name it sees that it must end."""
        gone = self.folder.with_name(f"{self.folder.name}{DELETED}")
        yield gone
        with contextlib.suppress(FileNotFoundError):
            self.folder.rename(gone)
            yield gone

    @contextlib.contextmanager
    def _open(self, name: str, flags: int) -> Iterator[int]:
        """Open a regular file of the state folder."""
        file = os.open(self.state / name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            if self.owner is not None and flags & os.O_CREAT:
                os.fchown(file, *self.owner)
            yield file
        finally:
            os.close(file)

    @contextlib.contextmanager
    def _locked(self, name: str, seconds: float) -> Iterator[bool]:
        """Whether the lock could be acquired. A file that a command put there in its place locks nothing."""
        with contextlib.ExitStack() as stack:
            try:
                file = stack.enter_context(self._open(name, os.O_RDWR | os.O_CREAT))
            except OSError:
                file = None
            yield file is None or lock_within(file, seconds)


def remove_untrusted_tree(folder: Path) -> None:
    """Delete a folder that commands have filled: of any depth, with folders closed to us. Follows no link. Folders are
    moved to the top before they are emptied, so that neither the recursion nor the open files nor the memory grow with
    the depth. Raises OSError."""
    with opened_folder(folder) as top:
        prefix = os.urandom(8).hex()
        moved = 0
        while names := _some_names(top):
            for name in names:
                if not _make_accessible(name, top):
                    os.unlink(name, dir_fd=top)
                    continue
                with opened_folder(name, top) as below:
                    moved = _move_up(below, top, prefix, moved)
                os.rmdir(name, dir_fd=top)
    folder.rmdir()


def _move_up(folder: int, top: int, prefix: str, moved: int) -> int:
    """Delete the files and move the folders to the top; returns how many folders were moved in all."""
    while names := _some_names(folder):
        for name in names:
            if _make_accessible(name, folder):
                moved += 1
                os.rename(name, f"{prefix}-{moved}", src_dir_fd=folder, dst_dir_fd=top)
            else:
                os.unlink(name, dir_fd=folder)
    return moved


def _some_names(folder: int) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in islice(entries, _NAMES_AT_ONCE)]


def _make_accessible(name: str, parent: int) -> bool:
    """Whether it is a folder, which can be entered and changed afterwards."""
    try:
        folder = os.open(name, _FIND_FOLDER, dir_fd=parent)
    except NotADirectoryError:
        return False
    try:
        Path(f"/proc/self/fd/{folder}").chmod(0o700)
    finally:
        os.close(folder)
    return True
