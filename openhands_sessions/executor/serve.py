"""Runs the executor: assembles its parts, serves clients, ends all processes, closes the parts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from .actions import Actions
from .editor import TextEditor, UndoHistory
from .ipython import IPythonCells
from .journal import Journal
from .output import OutputCapture
from .processes import ChildReaper, alive, children, descendants, signal_all
from .programs import ProgramRunner
from .requests import RequestHandlers
from .server import OwnerTerms, SocketServer
from .shell import Shell
from .workspace import WorkspaceFolder

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
