"""The executor's program: its command line, locks and log file; the assembly, and the end, of its parts."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import io
import os
import signal
import socket
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from .actions import Actions
from .capture import OutputCapture
from .editor import TextEditor
from .ipython import IPythonCells
from .journal import Journal
from .processes import ChildReaper, adopt_orphans, alive, children, descendants, signal_all
from .programs import ProgramRunner
from .requests import RequestHandlers
from .server import OwnerTerms, SocketServer
from .shell import Shell
from .undo import UndoHistory
from .workspace import WorkspaceFolder

OUTPUT_LIMIT = 512 << 10  # an outcome must fit into one frame, however its characters are written there
CANNOT_RUN = "the executor cannot run: "
LOG_LIMIT = 256 << 10
_READY = b"ready"
_TERM_GRACE = 0.2
_END_LIMIT = 2.0
_LOOK = 0.005


@dataclass(frozen=True)
class ExecutorOptions:
    """Its paths, and its limits in seconds and bytes. With a port, clients must know the secret."""

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
    `ready`, or, with --detach, return 0; on failure return 1, with the reason in the last line on standard error."""
    parsed = _parser().parse_args(arguments)
    try:
        options = _options(parsed)
        return _run_detached(options) if parsed.detach else _run(options, _print_ready)
    except OSError as error:
        return _report_failure(error)


def _options(parsed: argparse.Namespace) -> ExecutorOptions:
    return ExecutorOptions(
        socket=parsed.socket.absolute(),
        port=parsed.port,
        secret=_secret(parsed.secret),
        workspace=parsed.workspace.absolute(),
        state=parsed.state.absolute(),
        idle_timeout=parsed.idle_timeout,
        head=min(parsed.head, OUTPUT_LIMIT),
        tail=min(parsed.tail, OUTPUT_LIMIT),
    )


def _report_failure(error: OSError) -> int:
    """Print the reason in one line on the original standard error; the traceback goes to the log, if it is open."""
    if sys.stderr is not sys.__stderr__:
        with contextlib.suppress(OSError):  # the disk may be full
            traceback.print_exc()
    if sys.__stderr__ is not None:
        sys.__stderr__.write(f"{CANNOT_RUN}{error.strerror}\n")
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="executor", description="Serves one sandbox over a unix socket.")
    parser.add_argument("--socket", type=Path, required=True, help="path of the unix socket")
    parser.add_argument("--port", type=int, help="a TCP port to listen on, in place of the socket")
    parser.add_argument("--secret", type=Path, help="file with what clients of the port must say; it is deleted")
    parser.add_argument("--workspace", type=Path, required=True, help="the folder called /workspace")
    parser.add_argument("--state", type=Path, required=True, help="folder for what must outlive a restart")
    parser.add_argument("--idle-timeout", type=float, default=3600.0, help="seconds without a client; 0 for never")
    parser.add_argument("--head", type=int, default=64 << 10, help="bytes kept of the beginning of an output")
    parser.add_argument("--tail", type=int, default=64 << 10, help="bytes kept of the end of an output")
    parser.add_argument("--detach", action="store_true", help="go on in the background when clients can connect")
    return parser


def _secret(path: Path | None) -> str:
    """Read the secret and delete its file: commands must not find it."""
    if path is None:
        return ""
    secret = path.read_text().strip()
    path.unlink()
    if not secret:
        raise SystemExit("the secret is empty")
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
            return 0
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
    """Calls `on_end` after so many idle seconds; never for 0. Call `look` after each change of what is running."""

    def __init__(self, seconds: float, is_idle: Callable[[], bool], on_end: Callable[[], None]) -> None:
        self._seconds = seconds
        self._is_idle = is_idle
        self._on_end = on_end
        self._timer: asyncio.TimerHandle | None = None

    def look(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._seconds > 0 and self._is_idle():
            self._timer = asyncio.get_event_loop().call_later(self._seconds, self._on_end)
