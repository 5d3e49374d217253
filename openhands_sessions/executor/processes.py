"""The processes of the sandbox: their descendants, their ends, and what a command is and how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import Any, Iterable, NamedTuple

try:
    import ctypes
except ImportError:  # not every image's Python has it
    ctypes = None  # type: ignore[assignment]

EXIT, SHELL_EXIT, TIMEOUT, INTERRUPTED, KILLED = "exit", "shell_exit", "timeout", "interrupted", "killed"
PROMPT, WAITING, BUSY = "prompt", "waiting", "busy"  # it runs on and waits for input; runs on; was not started
_PR_SET_CHILD_SUBREAPER = 36
_CHILDREN_LISTED = Path(f"/proc/self/task/{os.getpid()}/children").exists()


class CommandRequest(NamedTuple):
    """A command or cell to run. `cwd` is a real path; `timeout` in seconds."""

    key: str
    command: str
    timeout: float | None = None
    cwd: str | None = None
    environment: dict[str, str] = {}


class ExitStatus(NamedTuple):
    """How a command ended; `exit_code` is None where it was ended by force."""

    reason: str
    exit_code: int | None
    pid: int


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent has ended, so that all can be found and killed. Where the
    system does not support that, daemons that commands start are not found."""
    if ctypes is not None:
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children(pid: int) -> set[int]:
    if not _CHILDREN_LISTED:
        return _children_by_search(pid)
    found: set[int] = set()
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found.update(int(child) for child in (thread / "children").read_text().split())
    return found


def _children_by_search(parent: int) -> set[int]:
    """For kernels that do not list children: search all processes for their parent."""
    found = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                status = Path(entry.path, "stat").read_text(errors="replace")
                if int(status.rpartition(")")[2].split()[1]) == parent:
                    found.add(int(entry.name))
    return found


def descendants(roots: Iterable[int]) -> list[int]:
    """The roots and all below them, parents first."""
    found = list(roots)
    for pid in found:  # grows during the iteration
        found.extend(children(pid))
    return found


def alive(pid: int) -> bool:
    """Whether it has not ended yet."""
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] not in ("Z", "X")
    return False


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


async def wait_any(timeout: float | None, *futures: asyncio.Future[Any]) -> None:
    """Wait until one of them is done, at most `timeout` seconds."""
    await asyncio.wait(futures, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)


class ChildReaper:
    """Reaps every child that ended, adopted ones too, and resolves the futures of those that are watched."""

    def __init__(self) -> None:
        self._awaited: dict[int, asyncio.Future[int]] = {}
        self.apart: set[int] = set()
        """Children that do not belong to the shell's command."""
        asyncio.get_event_loop().add_signal_handler(signal.SIGCHLD, self._collect)

    def watch(self, pid: int, *, apart: bool = False) -> asyncio.Future[int]:
        """Resolves to the exit code of a child, or minus the number of the signal that ended it. Call it before the
        next await after the child was created."""
        ended: asyncio.Future[int] = asyncio.get_event_loop().create_future()
        self._awaited[pid] = ended
        if apart:
            self.apart.add(pid)
        return ended

    def close(self) -> None:
        asyncio.get_event_loop().remove_signal_handler(signal.SIGCHLD)

    def _collect(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                self.apart.discard(pid)
                ended = self._awaited.pop(pid, None)
                if ended is not None and not ended.done():
                    ended.set_result(-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))
