"""The persistent shell: one command after another, each with an end that its output cannot feign."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from pathlib import Path
from typing import Any, Callable

from .bash import Bash, exports
from .order import EXIT, KILLED, SHELL_EXIT, TIMEOUT, Ending, Order, Run
from .processes import Reaper, alive, children, descendants, signal_all, signal_group
from .terminal import Terminal

GRACE = 0.5
_ROUND = 0.05
_ROUNDS = 8
_PROBES = 20
_LOOKS = 100
_LOOK = 0.005
_BEGIN = 10.0

_SHELL_LOST = b"\n[the shell was ended with the command; its variables, functions and settings are gone]\n"


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
        self._run: Run | None = None
        self.folder = self._workspace  # where it stands, or the next one will
        self._status = 0
        self._interrupted = False
        self._exported: dict[str, str] = {}
        self._earlier: set[int] = set()

    @property
    def pid(self) -> int:
        return -1 if self._bash is None else self._bash.pid

    async def run(self, order: Order, on_data: Callable[[bytes], None], stop: asyncio.Future[str]) -> Ending:
        """Run one command; `stop` is resolved with the reason to end it. Raises OSError where it cannot be begun."""
        bash = await self._ready()
        run = self._run = Run(on_data)
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
        interrupt = self._terminal.interrupt_key()
        parts = text.split(interrupt) if interrupt else [text]
        for position, part in enumerate(parts):
            if position:
                self._interrupt(run, bash, self._terminal.foreground())
            if not await self._terminal.write(part.encode("utf-8", "replace")):
                return False
        return True

    def close(self) -> None:
        if self._bash is not None:
            self._bash.close()
        self._terminal.close()

    async def _ready(self) -> Bash:
        """The bash for the next command. One that was sent an interrupt must first have answered again: it may have
        reached it late, and would then cost the beginning of the next order."""
        bash = self._bash or self._start()
        if not self._interrupted:
            return bash
        probe = self._run = Run(lambda data: None)
        for _ in range(_PROBES):
            bash.order("\n" + self._report(probe.token))
            await _first(_ROUND, probe.ended, bash.ended)
            if probe.ended.done():
                self._interrupted = False
                return bash
        bash.signal(signal.SIGKILL)
        await bash.ended
        self._bury(bash)
        return self._start()

    def _start(self) -> Bash:
        if not Path(self.folder).is_dir():
            self.folder = self._workspace
        self._exported = {}
        self._status = 0
        self._interrupted = False
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

    async def _until_ended(self, run: Run, bash: Bash, timeout: float | None, stop: asyncio.Future[str]) -> str | None:
        """Wait for the end of the command, or of the shell, and return the reason if it was ended by force."""
        await _first(_BEGIN, run.begun, bash.ended)
        if not run.begun.done():
            bash.signal(signal.SIGKILL)  # it does not even take an order
        await _first(timeout, run.ended, bash.ended, stop)
        forced = None
        if not run.ended.done() and not bash.ended.done():
            forced = stop.result() if stop.done() else TIMEOUT
            await self._force(run, bash)
            await self._clear_away(bash)
        if not run.ended.done():  # the shell is gone: what it printed last may still be on its way
            await self._terminal.mark(run.token + ":gone")
            await _first(1.0, run.ended)
        return forced

    async def _force(self, run: Run, bash: Bash) -> None:
        """Interrupt, after a while kill, at last kill the shell. It gets each interrupt itself too: then it goes on
        with nothing of the command when the process that it waits for has ended, however that one took it."""
        for wait in [GRACE] + [_ROUND] * _ROUNDS:
            self._interrupt(run, bash, self._terminal.foreground(), bash.pid)
            await _first(wait, run.ended, bash.ended)
            if run.ended.done() or bash.ended.done():
                return
            signal_all(self._members(bash), signal.SIGKILL)
        bash.signal(signal.SIGKILL)
        await bash.ended

    async def _clear_away(self, bash: Bash) -> None:
        """Kill what is left of the command, and see it gone: a process may start another until it is."""
        for _ in range(_LOOKS):
            left = [pid for pid in self._members(bash) if alive(pid)]
            if not left:
                return
            signal_all(left, signal.SIGKILL)
            await asyncio.sleep(_LOOK)

    def _interrupt(self, run: Run, bash: Bash, *groups: int) -> None:
        for group in set(groups) - {0}:
            signal_group(group, signal.SIGINT)
        self._interrupted = True
        bash.order("\n" + self._report(run.token))

    def _members(self, bash: Bash) -> set[int]:
        """The processes of the running command: all that came since it began, wherever they moved."""
        roots = (children(bash.pid) | children(os.getpid())) - self._earlier - self._reaper.apart - {bash.pid}
        return set(descendants(roots))

    def _ending(self, run: Run, bash: Bash, forced: str | None) -> Ending:
        self.folder = bash.folder() or self.folder
        status = run.ended.result() if run.ended.done() else None
        how = forced or EXIT
        if bash.ended.done():
            if status is None:
                status, how = _last_of(bash.ended.result(), forced)
            if how != SHELL_EXIT:
                run.on_data(_SHELL_LOST)
            self._bury(bash)
        else:
            self._status = status or 0
        return Ending(how, status if how in (EXIT, SHELL_EXIT) else None, bash.pid)

    def _bury(self, bash: Bash) -> None:
        bash.close()
        self._bash = None


async def _first(timeout: float | None, *futures: asyncio.Future[Any]) -> None:
    """Wait for one of them, at most `timeout` seconds."""
    await asyncio.wait(futures, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)


def _last_of(status: int, forced: str | None) -> tuple[int, str]:
    """What the end of the shell itself says about its last command."""
    if forced:
        return status, TIMEOUT if forced == TIMEOUT else KILLED
    return status, SHELL_EXIT if status >= 0 else KILLED


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
