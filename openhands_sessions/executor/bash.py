"""One bash process, which takes its orders from a pipe and leaves the terminal to the commands."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import signal
import termios
from pathlib import Path
from typing import NoReturn

from .processes import Reaper

_FLAGS = ["--norc", "--noprofile", "--noediting", "-i"]
_ENVIRONMENT = {"TERM": "dumb", "PAGER": "cat", "GIT_PAGER": "cat", "MANPAGER": "cat"}
_FIRST = "set +o history +o histexpand; unset HISTFILE MAILCHECK; PS1= PS2="


class Bash:
    """An interactive bash, for only that gives each command its own process group and comes back from an interrupt
    with its variables. Its standard input is the pipe, so that input meant for a command is never taken for an order;
    what it says itself (prompts, notices of ended jobs) goes nowhere."""

    def __init__(self, reaper: Reaper, *, terminal: int, home: str, cwd: str, last_words: Path) -> None:
        theirs, self._orders = os.pipe()
        os.set_blocking(self._orders, False)
        self._last_words = last_words
        last_words.unlink() if last_words.exists() else None
        self.pid = os.fork()
        if not self.pid:
            _become_bash(theirs, terminal, cwd, {"HOME": home, **os.environ, **_ENVIRONMENT})
        os.close(theirs)
        self.ended = reaper.watch(self.pid)
        farewell = '\\builtin printf %s "$PWD" >' + shlex.quote(str(last_words))
        self.order(f"{_FIRST}; trap {shlex.quote(farewell)} EXIT")

    def order(self, line: str) -> None:
        """One line to be executed when what is executed now has ended."""
        data = line.encode("utf-8", "replace") + b"\n"
        with contextlib.suppress(BrokenPipeError):  # it has ended, which is noticed where its end is awaited
            try:
                whole = os.write(self._orders, data) == len(data)
            except BlockingIOError:
                whole = False
            if not whole:
                self.signal(signal.SIGKILL)  # half an order must never be executed

    def signal(self, number: signal.Signals) -> None:
        if not self.ended.done():
            os.kill(self.pid, number)

    def folder(self) -> str | None:
        """Where it stands, or stood when it ended; None where that cannot be told."""
        with contextlib.suppress(OSError):
            if self.ended.done():
                return self._last_words.read_text()
            return os.readlink(f"/proc/{self.pid}/cwd")
        return None

    def close(self) -> None:
        os.close(self._orders)


def exports(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """The orders that turn one environment into another."""
    gone = [name for name in old if name not in new]
    changed = [f"{name}={shlex.quote(value)}" for name, value in new.items() if old.get(name) != value]
    orders = []
    if gone:
        orders.append("\\builtin unset -v " + " ".join(gone))
    if changed:
        orders.append("\\builtin export " + " ".join(changed))
    return orders


def _become_bash(orders: int, terminal: int, cwd: str, environment: dict[str, str]) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals():
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_DFL)  # an ignored signal would stay ignored in every command
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.setsid()
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for source, target in ((orders, 0), (nowhere, 1), (nowhere, 2)):
            os.dup2(source, target)
        os.chdir(cwd)
        os.execvpe("bash", ["bash", *_FLAGS], environment)
    finally:
        os._exit(127)
