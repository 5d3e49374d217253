"""The executor's program: its command line, locks and log file; the assembly, and the end, of its parts."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import getopt
import io
import os
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import Callable, NamedTuple

from .actions import Actions
from .capture import OutputCapture
from .editor import TextEditor
from .ipython import IPythonCells
from .journal import Journal
from .memory import give_back, is_short
from .processes import ChildReaper, adopt_orphans, alive, children, descendants, signal_all
from .programs import ProgramRunner
from .requests import RequestHandlers
from .server import OwnerTerms, SocketServer
from .shell import Shell
from .undo import UndoHistory
from .workspace import WorkspaceFolder

IDLE_TIMEOUT = 3600.0
KEPT = 64 << 10
"""Seconds, and bytes of an output's head and tail, where the command line says nothing."""
OUTPUT_LIMIT = 512 << 10  # an outcome must fit into one frame, however its characters are written there
CANNOT_RUN = "the executor cannot run: "
LOG_LIMIT = 256 << 10
OPTIONS = ("socket", "port", "secret", "workspace", "state", "idle-timeout", "head", "tail")
"""Of the command line; read by getopt, because argparse would take 0.4 MB of each sandbox."""
SHORTENED = 10
_READY = b"ready"
_TERM_GRACE = 0.2
_END_LIMIT = 2.0
_LOOK = 0.005


class ExecutorOptions(NamedTuple):
    """Its paths, and its limits in seconds and bytes. With a port, clients must know the secret. It ends after
    `idle_timeout` of idleness, 0 for never; `head` and `tail` are what is kept of an output."""

    socket: Path
    port: int | None
    secret: str
    workspace: Path
    state: Path
    idle_timeout: float
    head: int
    tail: int


def main(arguments: list[str]) -> int:
    """Run the executor of a state folder; return 0 at once where one runs. As soon as clients can connect, print
    `ready`, or, with --detach, return 0; on failure return 1, with the reason in the last line on standard error.

    --socket, --workspace and --state are needed; --port replaces the socket by TCP, and --secret names a file with what
    its clients must say, which is deleted."""
    try:
        options, detach = _options(arguments)
        return _run_detached(options) if detach else _run(options, _print_ready)
    except getopt.GetoptError as error:
        sys.stderr.write(f"{CANNOT_RUN}{error}\n")
        return 1
    except OSError as error:
        return _report_failure(error)


def _options(arguments: list[str]) -> tuple[ExecutorOptions, bool]:
    """The options, and whether to detach. Raises GetoptError, and OSError for the file of the secret."""
    given = dict(getopt.getopt(arguments, "", [*(f"{name}=" for name in OPTIONS), "detach"])[0])
    secret, port = given.get("--secret"), given.get("--port")
    try:
        options = ExecutorOptions(
            socket=Path(given["--socket"]).absolute(),
            port=None if port is None else int(port),
            secret="" if secret is None else _secret(Path(secret)),
            workspace=Path(given["--workspace"]).absolute(),
            state=Path(given["--state"]).absolute(),
            idle_timeout=float(given.get("--idle-timeout", IDLE_TIMEOUT)),
            head=min(int(given.get("--head", KEPT)), OUTPUT_LIMIT),
            tail=min(int(given.get("--tail", KEPT)), OUTPUT_LIMIT),
        )
    except KeyError as missing:
        raise getopt.GetoptError(f"the option {missing} is needed") from None
    except ValueError as error:
        raise getopt.GetoptError(str(error)) from None
    return options, "--detach" in given


def _report_failure(error: OSError) -> int:
    """Print the reason in one line on the original standard error; the traceback goes to the log, if it is open."""
    if sys.stderr is not sys.__stderr__:
        with contextlib.suppress(OSError):  # the disk may be full
            traceback.print_exc()
    if sys.__stderr__ is not None:
        sys.__stderr__.write(f"{CANNOT_RUN}{error.strerror}\n")
    return 1


def _secret(path: Path) -> str:
    """Read the secret and delete its file: commands must not find it."""
    secret = path.read_text().strip()
    path.unlink()
    if not secret:
        raise ValueError("the secret is empty")
    return secret


def _print_ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def _run_detached(options: ExecutorOptions) -> int:
    report_end, report_start = os.pipe()
    if os.fork():
        os.close(report_start)
        with os.fdopen(report_end, "rb") as report:
            message = report.read()
        if message == _READY:
            os._exit(0)  # to take the interpreter down would delay who waits
        sys.stderr.write(message.decode("utf-8", "replace") or "the executor ended at once\n")
        return 1
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)

    def send(message: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(report_start, message)
            os.close(report_start)

    try:
        status = _run(options, lambda: send(_READY))
    except OSError as error:
        send(f"{type(error).__name__}: {error.strerror}\n".encode())
        status = 1
    os._exit(status)


def _run(options: ExecutorOptions, on_ready: Callable[[], None]) -> int:
    os.umask(0o022)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    options.state.mkdir(mode=0o700, exist_ok=True)  # without its parent, which is gone if the sandbox was discarded
    os.chdir(options.state)
    starting = _lock_file("starting")
    fcntl.flock(starting, fcntl.LOCK_EX)  # held while an executor starts or ends
    try:
        fcntl.flock(_lock_file("running"), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        on_ready()
        return 0
    if not options.state.samefile("."):  # it was deleted, and the locks with it
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    sys.stderr = ErrorLog(options.state / "log")
    adopt_orphans()

    def ready() -> None:
        fcntl.flock(starting, fcntl.LOCK_UN)
        on_ready()

    asyncio.run(serve(options, ready, lambda: fcntl.flock(starting, fcntl.LOCK_EX)))
    return 0


def _lock_file(name: str) -> int:
    return os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


class ErrorLog(io.TextIOBase):
    """Replaces standard error; limited, so that no fault fills the disk. Truncated at the start where it is half
    full."""

    def __init__(self, path: Path) -> None:
        old = path.stat().st_size if path.exists() else 0
        self._file = path.open("w" if old > LOG_LIMIT // 2 else "a", encoding="utf-8", errors="replace")
        self._room = LOG_LIMIT - (0 if old > LOG_LIMIT // 2 else old)

    def write(self, text: str) -> int:
        self._file.write(text[: max(0, self._room)])
        self._file.flush()
        self._room -= len(text)
        return len(text)

    def close(self) -> None:
        self._file.close()
        super().close()


async def serve(options: ExecutorOptions, on_ready: Callable[[], None], on_ending: Callable[[], None]) -> None:
    """Serve until a signal, an owner or the idle timer ends it. `on_ready` is called when clients can connect,
    `on_ending` when they no longer can."""
    loop = asyncio.get_event_loop()
    ending = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ending.set)
    reaper = ChildReaper()
    journal = Journal(options.state)
    workspace = WorkspaceFolder(options.workspace)
    shell = Shell(reaper, workspace=workspace.root, state=options.state)
    editor = TextEditor(workspace, UndoHistory(options.state / "undo"))
    cells = IPythonCells(reaper, workspace=workspace.root, state=options.state)
    actions = Actions(journal, shell, editor, workspace, lambda: OutputCapture(options.head, options.tail), cells=cells)
    server = SocketServer(
        RequestHandlers(actions, shell, workspace, ProgramRunner(reaper)), OwnerTerms(options.state), options.secret
    )
    timer = IdleTimer(options.idle_timeout, lambda: server.idle and actions.idle, ending.set)
    server.on_change = actions.on_change = timer.look
    server.on_shutdown = ending.set
    listening = await _listening(options, server)
    try:
        on_ready()
        timer.look()
        await ending.wait()
    finally:
        on_ending()
        listening.close()
        if options.port is None:
            with contextlib.suppress(OSError):  # a command may have replaced it by anything
                options.socket.unlink()
        await actions.close()
        await _end_all_processes()
        shell.close()
        cells.close()
        reaper.close()
        journal.close()
        await server.close()


async def _listening(options: ExecutorOptions, server: SocketServer) -> asyncio.AbstractServer:
    if options.port is None:
        return await asyncio.start_unix_server(server.serve, sock=_bind(options.socket))
    return await asyncio.start_server(server.serve, "0.0.0.0", options.port)


def _bind(path: Path) -> socket.socket:
    """A socket that only its owner can connect to; bound from its folder, because its path is limited to 108 bytes."""
    try:
        path.unlink(missing_ok=True)
    except IsADirectoryError:  # created by a command; it must not prevent the next executor from starting
        path.rename(path.with_name(f"{path.name}.{os.urandom(8).hex()}"))
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    here = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    old = os.umask(0o177)
    try:
        os.chdir(path.parent)
        bound.bind(path.name)
    finally:
        os.umask(old)
        os.fchdir(here)
        os.close(here)
    return bound


async def _end_all_processes() -> None:
    """End every process of the sandbox: by SIGHUP and SIGTERM first, then by SIGKILL."""
    left = descendants(children(os.getpid()))
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGCONT):
        signal_all(left, number)
    patient, until = time.monotonic() + _TERM_GRACE, time.monotonic() + _END_LIMIT
    while any(alive(pid) for pid in left) and time.monotonic() < until:
        await asyncio.sleep(_LOOK)
        left = descendants(children(os.getpid()))
        if time.monotonic() > patient:
            signal_all(left, signal.SIGKILL)


class IdleTimer:
    """Calls `on_end` after so many idle seconds, after a tenth of them where the machine's memory is short when the
    idleness begins; never for 0. Call `look` after each change of what is running."""

    def __init__(
        self,
        seconds: float,
        is_idle: Callable[[], bool],
        on_end: Callable[[], None],
        *,
        memory_is_short: Callable[[], bool] = is_short,
    ) -> None:
        self._seconds = seconds
        self._is_idle = is_idle
        self._on_end = on_end
        self._memory_is_short = memory_is_short
        self._timer: asyncio.TimerHandle | None = None

    def look(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._is_idle():
            give_back()
            seconds = self._seconds / SHORTENED if self._memory_is_short() else self._seconds
            if seconds > 0:
                self._timer = asyncio.get_event_loop().call_later(seconds, self._on_end)
