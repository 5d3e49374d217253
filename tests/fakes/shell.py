"""A shell that runs nothing: a script of replies, commands that wait to be let go, and a dozen words of its own."""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from openhands_sessions.ports.runtime import WORKSPACE, CommandDone

Ended = Literal["exit", "timeout", "interrupted", "shell_exit", "prompt", "waiting", "busy"]


class ShellExit(Exception):
    """The command ended the shell."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


@dataclass
class ScriptedShell:
    """`replies`: command → what it prints and its exit code. `holds`: command → what it waits for before it ends. Both
    are looked up first; besides it knows `echo` (also `>> file`), `cd`, `mkdir`, `pwd`, `read`, `sleep`, `true`,
    `false`, `exit` and `name=value`, one after another by `;`, with `$name` replaced."""

    files: dict[str, bytes]
    replies: Mapping[str, tuple[str, int]]
    holds: Mapping[str, asyncio.Event]
    folder: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    typed: asyncio.Queue[str] = field(default_factory=lambda: asyncio.Queue(maxsize=64))

    @property
    def working_dir(self) -> str:
        return f"{WORKSPACE}/{self.folder}".rstrip("/")

    async def run(self, command: str, show: Callable[[str], None]) -> int:
        """Returns the exit code. Raises ShellExit."""
        if command in self.replies or command in self.holds:
            output, exit_code = self.replies.get(command, ("", 0))
            show(output)
            if command in self.holds:
                await self.holds[command].wait()
            return exit_code
        exit_code = 0
        for step in re.split(r"\s*[;\n]\s*", command.strip()):
            filled = re.sub(r"\$\{?(\w+)\}?", lambda match: self.variables.get(match[1], ""), step)
            exit_code = await self._step(filled, show)
        return exit_code

    async def _step(self, step: str, show: Callable[[str], None]) -> int:
        word, _, rest = step.partition(" ")
        match word:
            case "echo":
                self._echo(rest, show)
            case "pwd":
                show(self.working_dir + "\n")
            case "cd" | "mkdir":
                self.folder = rest if word == "cd" else self.folder
            case "read":
                self.variables[rest] = await self.typed.get()
            case "sleep":
                await asyncio.sleep(float(rest))
            case "exit":
                raise ShellExit(int(rest or "0"))
            case "true" | "false":
                return int(word == "false")
            case _:
                return self._assign(step, show)
        return 0

    def _echo(self, text: str, show: Callable[[str], None]) -> None:
        text, appended, path = text.partition(" >> ")
        if appended:
            path = "/".join(part for part in (self.folder, path) if part)
            self.files[path] = self.files.get(path, b"") + f"{text}\n".encode()
        else:
            show(text + "\n")

    def _assign(self, step: str, show: Callable[[str], None]) -> int:
        if assigned := re.fullmatch(r"(\w+)=(\S*)", step):
            self.variables[assigned[1]] = assigned[2]
            return 0
        show(f"bash: {step.split()[0]}: command not found\n")
        return 127


class Job:
    """A command in the shell, attended by one action after another."""

    def __init__(self, shell: ScriptedShell, command: str, timeout: float) -> None:
        self.keys: set[str] = set()
        self.stop = asyncio.Event()
        self._shell = shell
        self._output = ""
        self._news = asyncio.Event()
        self._listener: Callable[[str], None] | None = None
        self.running = asyncio.create_task(self._run(command, timeout))

    def type(self, text: str) -> None:
        if "\x03" in text:
            self.stop.set()
            return
        for line in text.splitlines():
            self._shell.typed.put_nowait(line)

    async def attended(
        self, stop: asyncio.Event, listener: Callable[[str], None], patience: float | None
    ) -> CommandDone:
        """How it ended, or that it printed nothing for `patience` seconds; with what it printed since it was last
        attended."""
        self._listener = listener
        if self._output:
            listener(self._output)
        stopped = asyncio.create_task(stop.wait())
        try:
            ended: Ended = "waiting"
            exit_code = None
            while not self.running.done() and not stopped.done():
                self._news.clear()
                news = asyncio.create_task(self._news.wait())
                await asyncio.wait({self.running, stopped, news}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                silent = not news.done()
                news.cancel()
                if silent:
                    break
            if stopped.done():
                self.stop.set()
                await asyncio.wait({self.running})
            if self.running.done():
                exit_code, ended = self.running.result()
        finally:
            stopped.cancel()
            self._listener = None
        output, self._output = self._output, ""
        return CommandDone(output=output, exit_code=exit_code, ended=ended, working_dir=self._shell.working_dir)

    def _show(self, text: str) -> None:
        self._output += text
        self._news.set()
        if self._listener is not None:
            self._listener(text)

    async def _run(self, command: str, timeout: float) -> tuple[int | None, Ended]:
        running = asyncio.create_task(self._shell.run(command, self._show))
        stopped = asyncio.create_task(self.stop.wait())
        try:
            await asyncio.wait({running, stopped}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                return running.result(), "exit"
            return None, "interrupted" if stopped.done() else "timeout"
        except ShellExit as ended:
            self._shell.variables.clear()
            return ended.exit_code, "shell_exit"
        finally:
            for each in (running, stopped):
                each.cancel()
            await asyncio.wait({running, stopped})
