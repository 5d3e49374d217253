"""The command line of the executor: options, locks, detaching, log file."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import io
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Callable

from .processes import adopt_orphans
from .serve import ExecutorOptions, serve

OUTPUT_LIMIT = 512 << 10  # an outcome must fit into one frame, however its characters are written there
CANNOT_RUN = "the executor cannot run: "
LOG_LIMIT = 256 << 10
_READY = b"ready"


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
