"""The persistent shell: runs one command after another, and detects its end in a way that output cannot imitate."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from pathlib import Path
from typing import Callable

from .bash import BashProcess, exports
from .input_waits import InputWait, input_waits
from .processes import (
    EXIT,
    KILLED,
    SHELL_EXIT,
    TIMEOUT,
    ChildReaper,
    CommandRequest,
    ExitStatus,
    alive,
    children,
    descendants,
    signal_all,
    signal_group,
    wait_any,
)
from .terminal import Terminal

GRACE = 0.5
_ROUND = 0.05
_ROUNDS = 8
_PROBES = 20
_LOOKS = 100
_LOOK = 0.005
_BEGIN = 10.0

_SHELL_LOST = b"\n[the shell was ended with the command; its variables, functions and settings are gone]\n"


class CommandRun:
    """One command between its begin mark and its end mark."""

    def __init__(self, on_data: Callable[[bytes], None]) -> None:
        loop = asyncio.get_event_loop()
        self.token = os.urandom(8).hex()
        self.on_data = on_data
        self.begun: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[int | None] = loop.create_future()

    def marked(self, text: str) -> None:
        if text == "begin" and not self.begun.done():
            self.begun.set_result(None)
        elif text != "begin" and not self.ended.done():
            self.ended.set_result(int(text) if text.isdigit() else None)


class Shell:
    """A bash that keeps its folder, variables and jobs between commands. After a command that ended it, a new bash
    starts in the same folder."""

    def __init__(self, reaper: ChildReaper, *, workspace: Path, state: Path) -> None:
        self._reaper = reaper
        self._workspace = str(workspace)
        self._command = state / "command"
        self._cwd_file = state / "folder"
        self._terminal = Terminal(self._on_data, self._on_mark)
        self._nonce = self._terminal.marks.nonce
        self._bash: BashProcess | None = None
        self._run: CommandRun | None = None
        self.folder = self._workspace  # of this bash, or of the next one
        self._status = 0
        self._interrupted = False
        self._exported: dict[str, str] = {}
        self._earlier: set[int] = set()

    @property
    def pid(self) -> int:
        return -1 if self._bash is None else self._bash.pid

    async def run(
        self, request: CommandRequest, on_data: Callable[[bytes], None], stop: asyncio.Future[str]
    ) -> ExitStatus:
        """Run one command; the result of `stop` is the reason to end it. Raises OSError where it cannot be started."""
        bash = await self._ready_shell()
        run = self._run = CommandRun(on_data)
        self._terminal.reset()
        self._earlier = children(bash.pid) | children(os.getpid())
        self._command.write_bytes(request.command.encode("utf-8", "replace"))
        bash.execute(self._command_line(request, run.token))
        bash.execute(self._status_line(run.token))
        try:
            forced = await self._until_ended(run, bash, request.timeout, stop)
            return self._ending(run, bash, forced)
        finally:
            self._run = None

    async def send_input(self, text: str) -> bool:
        """Type something for the running command; False where none runs, or none reads it."""
        run, bash = self._run, self._bash
        if run is None or bash is None or not run.begun.done() or run.ended.done():
            return False
        interrupt = self._terminal.interrupt_key()
        parts = text.split(interrupt) if interrupt else [text]
        for position, part in enumerate(parts):
            if position:
                self._interrupt(run, bash, self._terminal.foreground())
            if not await self._terminal.type(part):
                return False
        return True

    def input_wait(self) -> InputWait:
        """The foreground processes of the running command that wait for input; none where some is left to be read."""
        if self._bash is None or self._terminal.unread():
            return InputWait((), True)
        processes = {self._bash.pid, *self._members(self._bash)}
        return input_waits(processes, self._terminal.foreground(), self._terminal.device)

    def close(self) -> None:
        if self._bash is not None:
            self._bash.close()
        self._terminal.close()

    async def _ready_shell(self) -> BashProcess:
        """The bash for the next command. After an interrupt it must first answer a probe: an interrupt that arrives
        late would discard the beginning of the next line."""
        bash = self._bash or self._start()
        if not self._interrupted:
            return bash
        probe = self._run = CommandRun(lambda data: None)
        for _ in range(_PROBES):
            bash.execute("\n" + self._status_line(probe.token))
            await wait_any(_ROUND, probe.ended, bash.ended)
            if probe.ended.done():
                self._interrupted = False
                return bash
        bash.signal(signal.SIGKILL)
        await bash.ended
        self._drop_shell(bash)
        return self._start()

    def _start(self) -> BashProcess:
        if not Path(self.folder).is_dir():
            self.folder = self._workspace
        self._exported = {}
        self._status = 0
        self._interrupted = False
        self._bash = BashProcess(
            self._reaper, terminal=self._terminal.tty, home=self._workspace, cwd=self.folder, cwd_file=self._cwd_file
        )
        return self._bash

    def _command_line(self, request: CommandRequest, token: str) -> str:
        """The line that starts a command. The command is read from a file and run by `eval`, so that an open quote ends
        with it; `$?` is the last command's."""
        wanted = {**request.environment, "OHS_ACTION_ID": request.key}
        steps = exports(self._exported, wanted)
        self._exported = wanted
        steps.append(f"IFS= \\builtin read -r -d '' _ohs_command <{shlex.quote(str(self._command))} || \\builtin :")
        if request.cwd is not None:
            steps.append(f"\\builtin cd -- {shlex.quote(request.cwd)}")
        steps.append(f"\\builtin printf '\\033_%s:%s:begin\\000' {self._nonce} {token} >/dev/tty")
        command = '\\builtin eval "$_ohs_command" </dev/tty >/dev/tty 2>&1'
        if self._status:
            command = f"if (exit {self._status}); then \\builtin :; else {command}; fi"
        return "; ".join([*steps, command])

    def _status_line(self, token: str) -> str:
        """The line that prints the exit code. An interrupt while bash reads it may discard its first half: no second
        half of it does harm, and another status line follows each interrupt."""
        return f"\\builtin printf \\\\033_%s:%s:%s\\\\000 {self._nonce} {token} $? >/dev/tty"

    def _on_data(self, data: bytes) -> None:
        if self._run is not None and self._run.begun.done() and not self._run.ended.done():
            self._run.on_data(data)

    def _on_mark(self, text: str) -> None:
        token, _, rest = text.partition(":")
        if self._run is not None and token == self._run.token:
            self._run.marked(rest)

    async def _until_ended(
        self, run: CommandRun, bash: BashProcess, timeout: float | None, stop: asyncio.Future[str]
    ) -> str | None:
        """Wait for the end of the command or of the shell; returns the reason if it was ended by force."""
        await wait_any(_BEGIN, run.begun, bash.ended)
        if not run.begun.done():
            bash.signal(signal.SIGKILL)  # it does not execute anything
        await wait_any(timeout, run.ended, bash.ended, stop)
        forced = None
        if not run.ended.done() and not bash.ended.done():
            forced = stop.result() if stop.done() else TIMEOUT
            await self._force(run, bash)
            await self._kill_remaining(bash)
        if not run.ended.done():  # the shell is gone: its last output may still be in the terminal
            await self._terminal.mark(run.token + ":gone")
            await wait_any(1.0, run.ended)
        return forced

    async def _force(self, run: CommandRun, bash: BashProcess) -> None:
        """Interrupt the command, then kill it, at last kill the shell. Bash gets each interrupt, too: so it drops the
        rest of the command when its process has ended, however the process handled the interrupt."""
        for wait in [GRACE] + [_ROUND] * _ROUNDS:
            self._interrupt(run, bash, self._terminal.foreground(), bash.pid)
            await wait_any(wait, run.ended, bash.ended)
            if run.ended.done() or bash.ended.done():
                return
            signal_all(self._members(bash), signal.SIGKILL)
        bash.signal(signal.SIGKILL)
        await bash.ended

    async def _kill_remaining(self, bash: BashProcess) -> None:
        """Kill the remaining processes of the command until none is left: a dying process may start another."""
        for _ in range(_LOOKS):
            left = [pid for pid in self._members(bash) if alive(pid)]
            if not left:
                return
            signal_all(left, signal.SIGKILL)
            await asyncio.sleep(_LOOK)

    def _interrupt(self, run: CommandRun, bash: BashProcess, *groups: int) -> None:
        for group in set(groups) - {0}:
            signal_group(group, signal.SIGINT)
        self._interrupted = True
        bash.execute("\n" + self._status_line(run.token))

    def _members(self, bash: BashProcess) -> set[int]:
        """The processes of the running command: all that were started since it began, also orphans."""
        roots = (children(bash.pid) | children(os.getpid())) - self._earlier - self._reaper.apart - {bash.pid}
        return set(descendants(roots))

    def _ending(self, run: CommandRun, bash: BashProcess, forced: str | None) -> ExitStatus:
        self.folder = bash.folder() or self.folder
        status = run.ended.result() if run.ended.done() else None
        reason = forced or EXIT
        if bash.ended.done():
            if status is None:
                status, reason = _shell_status(bash.ended.result(), forced)
            if reason != SHELL_EXIT:
                run.on_data(_SHELL_LOST)
            self._drop_shell(bash)
        else:
            self._status = status or 0
        return ExitStatus(reason, status if reason in (EXIT, SHELL_EXIT) else None, bash.pid)

    def _drop_shell(self, bash: BashProcess) -> None:
        bash.close()
        self._bash = None


def _shell_status(status: int, forced: str | None) -> tuple[int, str]:
    """The status and reason of a command that ended the shell."""
    if forced:
        return status, TIMEOUT if forced == TIMEOUT else KILLED
    return status, SHELL_EXIT if status >= 0 else KILLED
