"""The persistent shell: one command after another, each with an end that its output cannot feign."""

from __future__ import annotations

import asyncio
import os
import secrets
import shlex
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, NamedTuple

from .bash import Bash, exports
from .processes import Reaper, children, descendants, signal_all, signal_group
from .terminal import Terminal

GRACE = 0.5
_ROUND = 0.05
_ROUNDS = 8
_BEGIN = 1.0

EXIT, SHELL_EXIT, TIMEOUT, INTERRUPTED, KILLED = "exit", "shell_exit", "timeout", "interrupted", "killed"
_SHELL_LOST = b"\n[the shell was ended with the command; its variables, functions and settings are gone]\n"


@dataclass(frozen=True)
class Order:
    """A command for the shell. `cwd` is a real path; `timeout` in seconds."""

    key: str
    command: str
    timeout: float | None = None
    cwd: str | None = None
    environment: dict[str, str] = field(default_factory=dict)


class Ending(NamedTuple):
    """How a command ended. `exit_code` is None where it was ended by force."""

    how: str
    exit_code: int | None
    pid: int


class _Run:
    """A command between the mark at its begin and the one at its end."""

    def __init__(self, on_data: Callable[[bytes], None]) -> None:
        loop = asyncio.get_event_loop()
        self.token = secrets.token_hex(8)
        self.on_data = on_data
        self.begun: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[int | None] = loop.create_future()

    def marked(self, text: str) -> None:
        if text == "begin" and not self.begun.done():
            self.begun.set_result(None)
        elif text != "begin" and not self.ended.done():
            self.ended.set_result(int(text) if text.isdigit() else None)


class Shell:
    """A bash that keeps its folder, variables and jobs between commands; where a command ended it, the next one finds
    a new bash in the same folder."""

    def __init__(self, reaper: Reaper, *, workspace: Path, state: Path) -> None:
        self._reaper = reaper
        self._workspace = str(workspace)
        self._command = state / "command"
        self._last_words = state / "folder"
        self._terminal = Terminal(self._on_data, self._on_mark)
        self._bash: Bash | None = None
        self._run: _Run | None = None
        self.folder = self._workspace  # where it stands, or the next one will
        self._status = 0
        self._exported: dict[str, str] = {}
        self._earlier: set[int] = set()

    async def run(self, order: Order, on_data: Callable[[bytes], None], stop: asyncio.Future[str]) -> Ending:
        """Run one command; `stop` is resolved with the reason to end it. Raises OSError where it cannot be begun."""
        bash = self._bash or self._start()
        run = self._run = _Run(on_data)
        self._terminal.reset()
        self._earlier = children(bash.pid) | children(os.getpid())
        self._command.write_bytes(order.command.encode("utf-8", "replace"))
        bash.order(self._opening(order, run.token))
        bash.order(self._report(run.token))
        try:
            forced = await self._until_ended(run, bash, order.timeout, stop)
            return self._ending(run, bash, forced)
        finally:
            self._run = None

    async def send_input(self, text: str) -> bool:
        """Type something for the running command; False where none runs or nobody reads."""
        run, bash = self._run, self._bash
        if run is None or bash is None or not run.begun.done() or run.ended.done():
            return False
        taken = await self._terminal.write(text.encode("utf-8", "replace"))
        if "\x03" in text:
            bash.order("\n" + self._report(run.token))
        return taken

    def close(self) -> None:
        if self._bash is not None:
            self._bash.close()
        self._terminal.close()

    def _start(self) -> Bash:
        if not Path(self.folder).is_dir():
            self.folder = self._workspace
        self._exported = {}
        self._status = 0
        self._bash = Bash(
            self._reaper,
            terminal=self._terminal.theirs,
            home=self._workspace,
            cwd=self.folder,
            last_words=self._last_words,
        )
        return self._bash

    def _opening(self, order: Order, token: str) -> str:
        """The line that begins a command. The command comes from a file and goes through `eval`, so that whatever
        quotes it leaves open end with it; `$?` is what the last one left."""
        wanted = {**order.environment, "OHS_ACTION_ID": order.key}
        steps = exports(self._exported, wanted)
        self._exported = wanted
        steps.append(f"IFS= \\builtin read -r -d '' _ohs_command <{_quoted(self._command)} || \\builtin :")
        if order.cwd is not None:
            steps.append(f"\\builtin cd -- {shlex.quote(order.cwd)}")
        steps.append(f"\\builtin printf '\\033_%s:%s:begin\\000' {self._nonce} {token} >/dev/tty")
        command = '\\builtin eval "$_ohs_command" </dev/tty >/dev/tty 2>&1'
        if self._status:
            command = f"if (exit {self._status}); then \\builtin :; else {command}; fi"
        return "; ".join([*steps, command])

    def _report(self, token: str) -> str:
        """The line that tells the exit code. An interrupt may come while bash reads it and cost its first half: no
        second half of it does any harm, and another report follows each interrupt."""
        return f"\\builtin printf \\\\033_%s:%s:%s\\\\000 {self._nonce} {token} $? >/dev/tty"

    @property
    def _nonce(self) -> str:
        return self._terminal.marks.nonce

    def _on_data(self, data: bytes) -> None:
        if self._run is not None and self._run.begun.done() and not self._run.ended.done():
            self._run.on_data(data)

    def _on_mark(self, text: str) -> None:
        token, _, rest = text.partition(":")
        if self._run is not None and token == self._run.token:
            self._run.marked(rest)

    async def _until_ended(self, run: _Run, bash: Bash, timeout: float | None, stop: asyncio.Future[str]) -> str | None:
        """Wait for the end of the command, or of the shell, and return the reason if it was ended by force."""
        await _first(timeout, run.ended, bash.ended, stop)
        forced = None
        if not run.ended.done() and not bash.ended.done():
            forced = stop.result() if stop.done() else TIMEOUT
            await self._force(run, bash)
            signal_all(self._members(bash), signal.SIGKILL)
        if not run.ended.done():  # the shell is gone: what it printed last may still be on its way
            await self._terminal.mark(run.token + ":gone")
            await _first(1.0, run.ended)
        return forced

    async def _force(self, run: _Run, bash: Bash) -> None:
        await _first(_BEGIN, run.begun, bash.ended)
        self._interrupt(run, bash)
        for wait in [GRACE] + [_ROUND] * _ROUNDS:
            await _first(wait, run.ended, bash.ended)
            if run.ended.done() or bash.ended.done():
                return
            signal_all(self._members(bash), signal.SIGKILL)
            self._interrupt(run, bash)
        bash.signal(signal.SIGKILL)
        await bash.ended

    def _interrupt(self, run: _Run, bash: Bash) -> None:
        foreground = self._terminal.foreground()
        if foreground > 0:
            signal_group(foreground, signal.SIGINT)
        bash.order("\n" + self._report(run.token))

    def _members(self, bash: Bash) -> set[int]:
        """The processes of the running command: all that came since it began, wherever they moved."""
        roots = (children(bash.pid) | children(os.getpid())) - self._earlier - {bash.pid}
        return set(descendants(roots))

    def _ending(self, run: _Run, bash: Bash, forced: str | None) -> Ending:
        self.folder = bash.folder() or self.folder
        status = run.ended.result() if run.ended.done() else None
        how = forced or EXIT
        if bash.ended.done():
            if status is None:
                status, how = _last_of(bash.ended.result(), forced)
            if how != SHELL_EXIT:
                run.on_data(_SHELL_LOST)
            bash.close()
            self._bash = None
        else:
            self._status = status or 0
        return Ending(how, status if how in (EXIT, SHELL_EXIT) else None, bash.pid)


async def _first(timeout: float | None, *futures: asyncio.Future[Any]) -> None:
    """Wait for one of them, at most `timeout` seconds."""
    await asyncio.wait(futures, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)


def _last_of(status: int, forced: str | None) -> tuple[int, str]:
    """What the end of the shell itself says about its last command."""
    if status == -signal.SIGKILL and forced != TIMEOUT:
        return status, KILLED
    return status, forced or (SHELL_EXIT if status >= 0 else KILLED)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
