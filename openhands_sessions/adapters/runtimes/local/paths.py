"""Where one conversation's sandbox lies on this machine, and what is read and written there without its executor."""

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from openhands_sessions.adapters.runtimes.local.untrusted_tree import remove_untrusted_tree

CONVERSATION = "conversation"
JOURNAL = "journal"
TERM = "term"
STARTING, RUNNING = "starting", "running"
"""Files that an executor locks: the first while it starts and ends, the other for as long as it lives."""
_LOOK_AGAIN = 0.01
_TERM_PATIENCE = 2.0
_NUMBER_LIMIT = 32


@dataclass(frozen=True, slots=True)
class SandboxPaths:
    """A folder with the workspace and the executor's state in it. What runs in the sandbox may do there as it likes:
    nothing is opened through a link, and nothing waits for it for long. `owner` is the user and group that it runs
    under, None for ours."""

    folder: Path
    owner: tuple[int, int] | None = None

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def socket(self) -> Path:
        return self.state / "executor.sock"

    @property
    def home(self) -> Path:
        """Of kinds whose sandboxes have a home besides the workspace."""
        return self.folder / "home"

    @property
    def undo(self) -> Path:
        """What edited files held before."""
        return self.state / "undo"

    @property
    def hold(self) -> Path:
        """Locked by processes that have the sandbox open; out of its reach."""
        return self.folder / "open"

    def note(self, conversation: str) -> None:
        """Write down whose place it is. Raises OSError."""
        (self.folder / CONVERSATION).write_text(conversation)

    def forget(self) -> None:
        """Take the note back. Raises OSError."""
        (self.folder / CONVERSATION).unlink(missing_ok=True)

    def noted(self) -> str | None:
        """Whose place it is, where that was written down."""
        try:
            return (self.folder / CONVERSATION).read_text()
        except OSError:
            return None

    def known_journal(self) -> str | None:
        """The name of the journal in which actions of this place were last to be written; None where none ever was.
        Raises OSError."""
        try:
            return (self.folder / JOURNAL).read_text(errors="replace")
        except FileNotFoundError:
            return None

    def know_journal(self, name: str) -> None:
        """Write it down, out of the sandbox's reach. Durable when it returns. Raises OSError."""
        whole = self.folder / f"{JOURNAL}.{secrets.token_hex(4)}"
        with whole.open("x") as file:
            file.write(name)
            file.flush()
            os.fsync(file.fileno())
        whole.rename(self.folder / JOURNAL)
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def make(self, *more: Path) -> None:
        """The folder, and in it the workspace, the state and `more`. Raises OSError."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.workspace, self.state, *more):
            folder.mkdir(mode=0o700, exist_ok=True)
            if self.owner is not None and folder.stat().st_uid != self.owner[0]:
                os.chown(folder, *self.owner)
        for folder in (self.folder, self.workspace, self.state):
            if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
                raise PermissionError(13, os.strerror(13))

    def term(self) -> int:
        """The highest that was written down, -1 for none. Raises OSError."""
        try:
            with self._opened(TERM, os.O_RDONLY) as file:
                return int(os.read(file, _NUMBER_LIMIT))
        except (FileNotFoundError, ValueError):
            return -1

    def raise_term(self, term: int) -> None:
        """Write down that an owner of this term has come; never lowers what is there. Raises OSError."""
        with self._opened(f"{TERM}.lock", os.O_RDWR | os.O_CREAT) as lock:
            if not _locked(lock, time.monotonic() + _TERM_PATIENCE):  # the executor takes it too
                raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
            if self.term() >= term:
                return
            temporary = self.state / f"{TERM}.new"
            temporary.unlink(missing_ok=True)
            with self._opened(temporary.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
                os.write(file, str(term).encode())
                os.fsync(file)
            temporary.rename(self.state / TERM)

    @contextlib.contextmanager
    def _opened(self, name: str, flags: int) -> Iterator[int]:
        """A plain file of the state folder."""
        file = os.open(self.state / name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            if self.owner is not None and flags & os.O_CREAT:
                os.fchown(file, *self.owner)
            yield file
        finally:
            os.close(file)

    def delete(self, patience: float, *, but_the_record: bool = False) -> bool:
        """Delete all of it, or all but the record of its actions and terms, if no executor runs; one that starts or
        ends is waited for, for at most `patience` seconds. One that is launched later finds no folder, and ends. False
        where one runs. Raises OSError."""
        with self._lock(STARTING, patience) as settled, self._lock(RUNNING, 0) as ended:
            if settled and ended:
                for folder in (self.workspace, self.home, self.undo) if but_the_record else (self.folder,):
                    # A command may have put anything in the last one's place.
                    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                        remove_untrusted_tree(folder)
            return settled and ended

    @contextlib.contextmanager
    def _lock(self, name: str, patience: float) -> Iterator[bool]:
        """Whether it could be had. What a command has put in the file's place is nobody's lock."""
        with contextlib.ExitStack() as stack:
            try:
                file = stack.enter_context(self._opened(name, os.O_RDWR | os.O_CREAT))
            except OSError:
                file = None
            yield file is None or _locked(file, time.monotonic() + patience)


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
