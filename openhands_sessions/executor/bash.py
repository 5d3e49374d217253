"""One bash process, which reads its input from a pipe and leaves the terminal to the commands."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import signal
import termios
from pathlib import Path
from typing import NoReturn

from .processes import ChildReaper

_FLAGS = ["--norc", "--noprofile", "--noediting", "-i"]
_ENVIRONMENT = {"TERM": "dumb", "PAGER": "cat", "GIT_PAGER": "cat", "MANPAGER": "cat"}
_FIRST = "set +o history +o histexpand; unset HISTFILE MAILCHECK; PS1= PS2="


class BashProcess:
    """An interactive bash: only that gives each command a process group and keeps its variables after an interrupt. Its
    standard input is the pipe, so that input for a command is never executed by bash. Its own output (prompts, notices
    of ended jobs) is discarded."""

    def __init__(self, reaper: ChildReaper, *, terminal: int, home: str, cwd: str, cwd_file: Path) -> None:
        commands_end, self._commands = os.pipe()
        os.set_blocking(self._commands, False)
        self._cwd_file = cwd_file
        cwd_file.unlink() if cwd_file.exists() else None
        self.pid = os.fork()
        if not self.pid:
            _become_bash(commands_end, terminal, cwd, {"HOME": home, **os.environ, **_ENVIRONMENT})
        os.close(commands_end)
        self.ended = reaper.watch(self.pid)
        on_exit = '\\builtin printf %s "$PWD" >' + shlex.quote(str(cwd_file))
        self.execute(f"{_FIRST}; trap {shlex.quote(on_exit)} EXIT")

    def execute(self, line: str) -> None:
        """Queue one line, to be executed after what runs now."""
        data = line.encode("utf-8", "replace") + b"\n"
        with contextlib.suppress(BrokenPipeError):  # it has ended; its `ended` is awaited elsewhere
            try:
                complete = os.write(self._commands, data) == len(data)
            except BlockingIOError:
                complete = False
            if not complete:
                self.signal(signal.SIGKILL)  # half a line must never be executed

    def signal(self, number: signal.Signals) -> None:
        if not self.ended.done():
            os.kill(self.pid, number)

    def folder(self) -> str | None:
        """Its working folder, or the last one where it has ended; None where that is not known."""
        with contextlib.suppress(OSError):
            if self.ended.done():
                return self._cwd_file.read_text()
            return os.readlink(f"/proc/{self.pid}/cwd")
        return None

    def close(self) -> None:
        os.close(self._commands)


def exports(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """The bash commands that turn one environment into another."""
    gone = [name for name in old if name not in new]
    changed = [f"{name}={shlex.quote(value)}" for name, value in new.items() if old.get(name) != value]
    steps = (("unset -v", gone), ("export", changed))
    return [f"\\builtin {command} {' '.join(words)}" for command, words in steps if words]


def _become_bash(commands_end: int, terminal: int, cwd: str, environment: dict[str, str]) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals():
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_DFL)  # an ignored signal would stay ignored in every command
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.setsid()
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for source, target in ((commands_end, 0), (nowhere, 1), (nowhere, 2)):
            os.dup2(source, target)
        os.chdir(cwd)
        os.execvpe("bash", ["bash", *_FLAGS], environment)
    finally:
        os._exit(127)
